"""`likewise replay` and `likewise tune` as people type them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest

from index import build
from index.embedders.hashing import HashingEmbedder
from policies.record import Comparison
from proxy import cli
from tests.proxy.house import TOKEN, House, with_oracle

FILES = Path(__file__).resolve().parents[1] / "golden" / "replays"
Likewise: TypeAlias = Callable[..., tuple[int, str, str]]
FIXED = "policy:\n  audits: 0%\n  defaults:\n    threshold: 0.95 # mine\n"
TOO_MANY = "--reset goes with nothing but --config and --admin"


@pytest.fixture
def likewise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Likewise:
    """`likewise(words…)` in a folder with the golden rows, with the encoder without a model."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    for name in ("LIKEWISE_CONFIG", "LIKEWISE_UPSTREAM", "LIKEWISE_ADMIN_TOKEN", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(build, "embedder", lambda *_, **__: HashingEmbedder())
    for file in FILES.iterdir():
        shutil.copy(file, tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["likewise", *words])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as leaving:
            code = int(leaving.code or 0)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with with_oracle(tmp_path_factory.mktemp("house")) as running:
        yield running


def labelled(path: str, count: int) -> None:
    """Pairs that differ in case alone, of which every fiftieth is labelled otherwise."""
    rows = [
        {"a": f"word{n} one two three", "b": f"WORD{n} one two three", "label": int(n % 50 > 0)}
        for n in range(1, count + 1)
    ]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("replay",), "Missing argument 'FILE'"),
        (("replay", "none.jsonl"), "none.jsonl: there is no such file"),
        (("replay", "empty.jsonl"), "empty.jsonl: holds no row; a row is {a, b, label} or"),
        (("replay", "bad.jsonl"), "bad.jsonl:2: label: must be 1 (one answer serves both) or 0"),
        (("replay", "pairs.jsonl", "--judge", "llm"), "'llm' is not one of 'text', 'embedding'"),
        (("replay", "pairs.jsonl", "--policy", "no.yaml"), "no.yaml: there is no such file"),
        (("replay", "pairs.jsonl", "-c", "bad.yaml"), "bad.yaml:1: policy.mood: unknown key"),
        (("tune", "bad.jsonl"), "bad.jsonl:2: label: must be 1 (one answer serves both) or 0"),
        (("tune", "pairs.jsonl", "--max-false-hits", "many"), "--max-false-hits: must be a share"),
        (("tune", "pairs.jsonl", "--max-false-hits", "0%"), "must be above 0% and below 100%"),
        (("tune", "pairs.jsonl", "--reset", "code"), TOO_MANY),
        (("tune", "--reset", "code", "--write"), TOO_MANY),
    ],
    ids=" ".join,
)
def test_a_mistake_is_one_line_and_exit_code_2(
    likewise: Likewise, words: tuple[str, ...], said: str
) -> None:
    """The place and what is allowed; nothing on standard output."""
    Path("empty.jsonl").write_text("\n")
    Path("bad.jsonl").write_text('{"a": "x", "b": "y", "label": 0}\n{"a": "x", "b": "y"}\n')
    Path("bad.yaml").write_text("policy: {mood: serve}\n")
    code, out, err = likewise(*words)
    assert (code, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.strip()]
    assert said in line


@pytest.mark.parametrize("words", [("tune",), ("tune", "--reset", "code")])
def test_without_a_proxy_the_code_is_1(likewise: Likewise, words: tuple[str, ...]) -> None:
    """As for every command that asks one."""
    code, _, err = likewise(*words)
    assert code == 1
    assert "no token: set LIKEWISE_ADMIN_TOKEN" in err


def test_replay_shows_two_policies(likewise: Likewise) -> None:
    """Under their files' names."""
    code, out, _ = likewise("replay", "pairs.jsonl", "--policy", "stricter.yaml")
    assert code == 0
    assert out.startswith("24 pairs of pairs.jsonl; ")
    table = [line.split() for line in out.splitlines()]
    assert ["likewise.yaml", "stricter.yaml"] in table
    assert ["hit", "rate", "54.2%", "62.5%"] in table


def test_replay_as_json(likewise: Likewise) -> None:
    """One object for each policy, and nothing else on standard output."""
    code, out, _ = likewise("replay", "traffic.jsonl", "--policy", "stricter.yaml", "--json")
    told = json.loads(out)
    assert code == 0
    assert [one["policy"] for one in told] == ["likewise.yaml", "stricter.yaml"]
    assert [one["total"]["hits"]["semantic"] for one in told] == [7, 9]


def test_replay_without_a_file_rules_as_shipped(likewise: Likewise) -> None:
    """The built-in policy needs neither file nor upstream."""
    Path("likewise.yaml").unlink()
    code, out, _ = likewise("replay", "pairs.jsonl", "--json")
    assert code == 0
    assert json.loads(out)[0]["policy"] == "built-in policy"


def test_answers_are_judged(likewise: Likewise) -> None:
    """By the judge that is named: to words "Blue." and "It is blue." differ."""
    rows = [
        {"prompt": "Why is the sky blue?", "answer": "It is blue by scattering of light."},
        {"prompt": "why is the sky blue", "answer": "By scattering of light it is blue."},
    ]
    Path("answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    wrong = {}
    for judge in ("text", "embedding"):
        _, out, _ = likewise("replay", "answers.jsonl", "--judge", judge, "--json")
        wrong[judge] = json.loads(out)[0]["total"]["wrong"]["semantic"]
    assert wrong == {"text": 1, "embedding": 0}


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="needs the plot extra")
def test_replay_draws(likewise: Likewise) -> None:
    """A picture beside the figures."""
    code, out, _ = likewise("replay", "pairs.jsonl", "--plot", "out.png")
    assert (code, "hit rate" in out) == (0, True)
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


def test_a_missing_extra_is_said_first(likewise: Likewise, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after minutes of work."""
    monkeypatch.setattr("proxy.plotting.find_spec", lambda _: None)
    code, out, err = likewise("replay", "pairs.jsonl", "--plot", "out.png")
    assert (code, out) == (1, "")
    assert "install Likewise with its `plot` extra" in err


def test_tune_shows_a_change_and_writes_only_when_told(likewise: Likewise) -> None:
    """One line of the file; a second time there is nothing to change."""
    Path("mine.yaml").write_text(FIXED)
    labelled("many.jsonl", 500)
    words = ("tune", "many.jsonl", "-c", "mine.yaml", "--max-false-hits", "5%")
    code, out, _ = likewise(*words)
    assert code == 0
    assert "-    threshold: 0.95 # mine\n+    threshold: 0." in out
    assert Path("mine.yaml").read_text() == FIXED
    code, out, _ = likewise(*words, "--write")
    assert (code, "Wrote mine.yaml." in out) == (0, True)
    new = Path("mine.yaml").read_text().splitlines()
    assert [a for a, b in zip(new, FIXED.splitlines(), strict=True) if a != b] == [new[3]]
    assert new[3].endswith(" # mine")
    code, out, _ = likewise(*words, "--write")
    assert (code, "Nothing to change." in out) == (0, True)


def test_tune_writes_a_file_where_there_is_none(likewise: Likewise) -> None:
    """With the policy's change alone."""
    Path("likewise.yaml").unlink()
    labelled("many.jsonl", 500)
    code, out, _ = likewise("tune", "many.jsonl", "--max-false-hits", "5%", "--write")
    assert code == 0
    assert "--- /dev/null\n+++ likewise.yaml\n" in out
    assert Path("likewise.yaml").read_text().startswith("policy:\n  defaults:\n    threshold: {")


def test_too_few_labels_are_no_suggestion(likewise: Likewise) -> None:
    """How many more are needed, and exit code 1."""
    labelled("few.jsonl", 10)
    code, out, _ = likewise("tune", "few.jsonl", "--max-false-hits", "5%")
    assert code == 1
    assert "more labels are needed before a cut can be shown to stay under 5% false hits" in out
    assert "Nothing to change." in out


def test_tune_asks_the_running_proxy(
    likewise: Likewise, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it has labels, what they are, and that it forgets a category that it knows."""
    monkeypatch.setenv("LIKEWISE_ADMIN_TOKEN", TOKEN)
    here = ("--admin", house.where.admin)
    code, _, err = likewise("tune", *here)
    assert (code, "there are no labels yet" in err) == (1, True)
    row = Comparison(0, 0.0, "default", "e", "n", 0.9, None, 1.0, False, False, True, "judge")
    (journal,) = house.config.parent.rglob("journal.db")
    with closing(sqlite3.connect(journal)) as db:
        marks = ", ".join("?" * len(row))
        db.executemany(f"INSERT INTO labels VALUES ({marks})", [row] * 30)  # noqa: S608
        db.commit()
    code, out, _ = likewise("tune", *here)
    assert code == 1
    assert ["default", "30", "present"] in [line.split()[:3] for line in out.splitlines()]
    assert "default: about " in out
    code, out, _ = likewise("tune", "--reset", "default", *here)
    assert (code, out) == (0, "What default taught is forgotten.\n")
    code, _, err = likewise("tune", "--reset", "unheard", *here)
    assert (code, "No category 'unheard'" in err) == (1, True)
