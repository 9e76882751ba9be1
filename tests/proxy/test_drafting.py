"""The policy's text through the real admin port: checked, written, put in force, rolled back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from proxy import drafting
from proxy.drafting import with_endings_of, write
from tests.proxy.house import House, until, with_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SKY, SKY_AGAIN = "Why is the sky blue?", "why is the sky blue"


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    categories = {"sky": {"keywords": ["sky"], "threshold": 0.9}}
    policy = {"defaults": {"threshold": 0.85}, "categories": categories}
    with with_oracle(tmp_path, policy=policy) as running:
        yield running


def text(house: House) -> dict[str, Any]:
    told: dict[str, Any] = house.api("/api/policy/text")
    return told


def put(house: House, body: dict[str, Any]) -> httpx.Response:
    headers = {"authorization": f"Bearer {house.where.token}"}
    return house.client.put(f"{house.where.admin}/api/policy/text", json=body, headers=headers)


def test_an_edit_is_in_force_when_it_is_answered(house: House) -> None:
    """The file holds it, the next request is decided by it, comments and all."""
    told = text(house)
    assert told["in_force"]
    assert told["text"] == house.config.read_text()
    edited = "# why: see the wiki\n" + told["text"].replace("threshold: 0.9\n", "threshold: 0.97\n")
    answer = put(house, {"text": edited, "revision": told["revision"]})
    assert answer.json()["applied"]
    assert house.config.read_text() == edited
    (sky,) = [c for c in house.api("/api/categories") if c["name"] == "sky"]
    assert sky["threshold"] == 0.97
    assert text(house)["revision"] == answer.json()["revision"]


def test_of_two_edits_the_second_is_told(house: House) -> None:
    """Whoever edited a text that is not there any more writes nothing over."""
    told = text(house)
    one, two = (told["text"] + f"# {n}\n" for n in (1, 2))
    assert put(house, {"text": one, "revision": told["revision"]}).status_code == 200
    late = put(house, {"text": two, "revision": told["revision"]})
    assert (late.status_code, late.json()["conflict"]) == (409, True)
    assert house.config.read_text() == one


def test_what_is_no_policy_changes_nothing(house: House) -> None:
    """Every fault with its line, by check and by apply alike."""
    told = text(house)
    wrong = told["text"].replace("threshold: 0.9\n", "threshold: 9\n") + "policies: {}\n"
    faults = house.api("/api/policy/check", {"text": wrong})["faults"]
    lines = wrong.splitlines()
    assert [lines[f["line"] - 1].strip() for f in faults] == ["threshold: 9", "policies: {}"]
    answer = put(house, {"text": wrong, "revision": told["revision"]})
    assert (answer.status_code, answer.json()["faults"]) == (422, faults)
    assert house.config.read_text() == told["text"]


@pytest.mark.parametrize(
    ("old", "new"), [("/v1", "/v2"), ("sqlite:", "sqlite:/elsewhere"), ("oracle", "other")]
)
def test_only_the_policy_may_be_changed_here(house: House, old: str, new: str) -> None:
    """Whoever could change upstreams here could have their keys sent elsewhere."""
    told = text(house)
    edited = told["text"].replace(old, new)
    (fault,) = house.api("/api/policy/check", {"text": edited})["faults"]
    assert "only policy and prices" in fault["message"]
    assert put(house, {"text": edited, "revision": told["revision"]}).status_code == 422


def test_a_diff_tells_what_changes(house: House) -> None:
    """Line by line."""
    edited = text(house)["text"].replace("threshold: 0.9\n", "threshold: 0.91\n")
    diff = house.api("/api/policy/check", {"text": edited})["diff"].splitlines()
    assert [
        line.split() for line in diff if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ] == [
        ["-", "threshold:", "0.9"],
        ["+", "threshold:", "0.91"],
    ]


def test_the_history_leads_back(house: House) -> None:
    """Who wrote what, an edit of the file itself included; an earlier policy is in force again."""
    first = text(house)
    edited = first["text"].replace("threshold: 0.9\n", "threshold: 0.97\n")
    put(house, {"text": edited, "revision": first["revision"]})
    house.config.write_text(edited + "# by hand\n")
    editions = until(lambda: len(e := house.api("/api/policy/editions")["editions"]) == 3 and e)
    assert [e["who"] for e in editions] == ["file", "operator token", "file"]
    oldest = editions[-1]["id"]
    assert house.api(f"/api/policy/editions/{oldest}")["text"] == first["text"]
    body = {"revision": text(house)["revision"]}
    assert house.api(f"/api/policy/editions/{oldest}/restore", body)["applied"]
    assert house.config.read_text() == first["text"]
    newest = house.api("/api/policy/editions")["editions"][0]
    assert (newest["how"], newest["revision"]) == (f"back to {oldest}", first["revision"])


def test_a_refused_edit_of_the_file_is_shown(house: House) -> None:
    """The text is what the file says, with what is wrong with it."""
    house.config.write_text(house.config.read_text() + "policies: {}\n")
    told = until(lambda: not (t := text(house))["in_force"] and t)
    assert [fault["path"] for fault in told["faults"]] == ["policies"]
    mended = told["text"].replace("policies: {}\n", "")
    assert put(house, {"text": mended, "revision": told["revision"]}).json()["applied"]


def test_a_threshold_is_written_into_the_file(house: House) -> None:
    """One value changes; the tighter category then asks upstream."""
    house.chat(SKY, "sk-1")
    assert house.chat("Why is the sky so blue?", "sk-1").headers["x-cache"] == "HIT"
    told = text(house)
    body = {"threshold": 0.999, "revision": told["revision"]}
    assert house.api("/api/categories/sky/threshold", body, "PUT")["applied"]
    assert house.config.read_text() == told["text"].replace(
        "threshold: 0.9\n", "threshold: 0.999\n"
    )
    assert house.chat("Why is the sky so very blue?", "sk-1").headers["x-cache"] == "MISS"


def test_a_threshold_that_cannot_be_written_says_why(house: House) -> None:
    """What ships with Likewise is not in the file."""
    body = {"threshold": 0.9, "revision": text(house)["revision"]}
    with pytest.raises(httpx.HTTPStatusError, match="422") as caught:
        house.api("/api/categories/time-sensitive/threshold", body, "PUT")
    (fault,) = caught.value.response.json()["faults"]
    assert "comes with Likewise" in fault["message"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [("a\r\nb\r\n", "a\nc\n", "a\r\nc\r\n"), ("a\n", "b\n", "b\n"), ("a\r\n", "b\r\n", "b\r\n")],
)
def test_line_endings_stay(old: str, new: str, told: str) -> None:
    """A browser's editor knows only one kind."""
    assert with_endings_of(old, new) == told


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """Through a link, with its permissions, nothing left beside it."""
    real = tmp_path / "real.yaml"
    real.write_text("old")
    real.chmod(0o640)
    link = tmp_path / "likewise.yaml"
    link.symlink_to(real)
    assert write(str(link), "new: é\n") == ()
    assert (link.is_symlink(), real.read_text()) == (True, "new: é\n")
    assert real.stat().st_mode & 0o777 == 0o640
    assert sorted(tmp_path.iterdir()) == [link, real]


def test_a_file_that_cannot_be_replaced_is_written_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is mounted by itself."""
    file = tmp_path / "likewise.yaml"
    file.write_text("old")
    inode = file.stat().st_ino

    def busy(*_: object) -> None:
        raise OSError(16, os.strerror(16))

    monkeypatch.setattr(drafting, "_replace", busy)
    assert write(str(file), "new") == ()
    assert (file.read_text(), file.stat().st_ino) == ("new", inode)
    (fault,) = write(str(tmp_path / "gone" / "x.yaml"), "new")
    assert "cannot be written: No such file" in fault.message
    (fault,) = write(str(file), "\ud800")
    assert "no UTF-8" in fault.message
