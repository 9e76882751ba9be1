"""Alerts, board and the page about them name what a running proxy exports, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.proxy.house import TOKEN, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers import RedisServer

ROOT = Path(__file__).resolve().parent.parent
ALERTS = ROOT / "deploy/prometheus/alerts.yaml"
BOARD = ROOT / "deploy/grafana/likewise.json"
PAGE = ROOT / "docs/operations.md"
REFERENCE = ROOT / "docs/reference.md"
NAME = re.compile(r"\b(?:likewise|process)_[a-z0-9_]+")
# What bounds every label: lists of ours, and names in the operator's own configuration.
LABELS = {"outcome", "reason", "category", "upstream", "status", "code", "le", "version"}
KEY = "sk-of-an-operator"
VIEWER = "a-token-that-only-looks-at-things"
SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"
Samples = dict[str, set[str]]


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    """Every PromQL expression of the alerts and the board."""
    yield from (rule["expr"] for rule in rules())
    board = json.loads(BOARD.read_text())
    for panel in board["panels"]:
        yield from (target["expr"] for target in panel.get("targets", []))
    yield from (one["expr"] for one in board["annotations"]["list"])
    yield from (one["definition"] for one in board["templating"]["list"] if "definition" in one)


def named(text: str) -> set[str]:
    return set(NAME.findall(text))


@pytest.fixture
def exported(tmp_path: Path, own_redis: RedisServer) -> Samples:
    """What a proxy with everything in use tells a scraper: samples, and the labels of each."""
    parts: dict[str, Any] = {
        "server": {"access_log": str(tmp_path / "access.log")},
        "store": {"url": own_redis.url},
        "policy": {
            "audits": "100%",
            "defaults": {"threshold": {"max_false_hits": "2%", "start": 0.9}},
        },
    }
    env = {"LIKEWISE_ADMIN_TOKEN": TOKEN, "LIKEWISE_VIEWER_TOKEN": VIEWER}
    with with_oracle(tmp_path, env=env, **parts) as house:
        for prompt in (SKY, SKY, SKY_AGAIN, "one", "two", "three"):
            house.chat(prompt, KEY)
        house.chat("four", KEY, {"x-oracle-mode": "length"})
        house.post(b"{", KEY)
        until(lambda: "likewise_false_hits_low " in house.api("/metrics"))
        bearer = {"authorization": f"Bearer {VIEWER}"}
        text = house.client.get(house.where.admin + "/metrics", headers=bearer).text
    assert "sky" not in text
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_all_that_is_asked_for_is_exported(exported: Samples) -> None:
    """Every metric of an alert, a panel or the page, with the labels that they ask for; the
    reference lists all that there is."""
    for expression in expressions():
        assert named(expression) <= exported.keys(), expression
    for chosen in re.findall(r"(\w+)\{([^}]*)\}", " ".join(expressions())):
        asked = set(re.findall(r"(\w+)(?:=~|!~|!=|=)", chosen[1])) - {"job", "instance"}
        if chosen[0] != "up":
            assert asked <= exported[chosen[0]], chosen
    ours = {name for name in exported if name.startswith("likewise_")}
    families = {re.sub(r"_(?:bucket|count|sum|created)$", "", name) for name in ours}
    assert named(PAGE.read_text()) <= exported.keys() | families
    assert families <= named(REFERENCE.read_text())
    assert set().union(*exported.values()) <= LABELS


def test_each_alert_has_its_reason_on_the_page() -> None:
    """Whoever is woken finds what to do; the page speaks of no alert that is gone."""
    on_page = set(re.findall(r"`(Likewise[A-Za-z]+)`", PAGE.read_text()))
    assert on_page == {rule["alert"] for rule in rules()}
    for rule in rules():
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert rule["annotations"]["summary"]


def test_the_board_can_be_imported_anywhere() -> None:
    """No data source of another house in it, no panel over another, no number twice."""
    board = json.loads(BOARD.read_text())
    assert board["id"] is None
    variables = {one["name"] for one in board["templating"]["list"]}
    assert variables == {"datasource", "job", "instance"}
    text = BOARD.read_text()
    assert set(re.findall(r'"uid": "([^"]*)"', text)) == {"likewise", "${datasource}"}
    assert set(re.findall(r"\$(?:\{(\w+)\}|(job|instance)\b)", text)) <= {
        *((name, "") for name in variables),
        *(("", name) for name in variables),
    }
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["title"]


def test_a_planted_metric_is_found_out() -> None:
    """The reading sees names, and takes no word for one."""
    assert named("rate(likewise_gone_total[5m]) + process_x") == {
        "likewise_gone_total",
        "process_x",
    }
    assert named("likewise serve; x_likewise_request") == set()
