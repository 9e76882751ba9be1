"""Replays side by side, as they are shown: golden text beside the golden rows."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from index import build
from index.embedders.hashing import HashingEmbedder
from policies import evidence
from policies.values import JudgeKind, JudgeRules
from proxy import comparing, rows
from proxy.settings import Settings, load

FILES = Path(__file__).resolve().parents[1] / "golden" / "replays"


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The shipped encoder without a model, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def embedder(model: str, **_: object) -> HashingEmbedder:
        return HashingEmbedder(64 if model == "smaller" else 256)

    monkeypatch.setattr(build, "embedder", embedder)


def configured(name: str) -> Settings:
    return load(FILES / name, upstream="http://127.0.0.1", env={})


def shown(rows_of: str, *names: str) -> str:
    """What a terminal of 80 columns shows, with intervals and times left out."""
    recorded = replace(rows.read(FILES / f"{rows_of}.jsonl"), file=f"{rows_of}.jsonl")
    sides = [(name, configured(name)) for name in names]
    with comparing.tools(sides[0][1], recorded, None, quiet) as held:
        results = comparing.compare(recorded, sides, held, quiet)
    out = io.StringIO()
    Console(width=80, file=out).print(comparing.shown(recorded, results))
    bare = re.sub(r"\((\d[\d.]*-[\d.]+%|95%: [\d.]+)\)", "()", out.getvalue())
    bare = re.sub(r"\d+\.\d+ \(\)", "0 ()", re.sub(r"; each end.*\n?.*confidence", "", bare))
    return "\n".join(" ".join(line.split()) for line in bare.splitlines()) + "\n"


def quiet(_what: str, _share: float) -> None:
    """Nobody looks."""


@pytest.mark.parametrize(
    ("rows_of", "names"),
    [
        ("pairs", ("likewise.yaml",)),
        ("pairs", ("likewise.yaml", "stricter.yaml")),
        ("traffic", ("likewise.yaml",)),
        ("traffic", ("likewise.yaml", "stricter.yaml")),
    ],
)
def test_results_are_shown_as_written_down(rows_of: str, names: tuple[str, ...]) -> None:
    """One policy alone, and two side by side; the figures are those of the rows, by hand."""
    expected = (FILES / f"{rows_of}-{len(names)}.txt").read_text()
    assert shown(rows_of, *names) == expected


def test_vectors_are_remembered_beside_the_store() -> None:
    """A second replay finds them."""
    shown("pairs", "likewise.yaml")
    (file,) = Path(".likewise").iterdir()
    made = file.stat().st_mtime_ns
    shown("pairs", "likewise.yaml")
    assert file.stat().st_mtime_ns == made


def test_each_configuration_has_its_own_encoder() -> None:
    """One that names another model is asked by that model; the judge is the first one's."""
    mine = configured("likewise.yaml")
    other = replace(mine, embedding=replace(mine.embedding, model="smaller"))
    recorded = rows.read(FILES / "pairs.jsonl")
    with comparing.tools(mine, recorded, None, quiet) as held:
        results = comparing.compare(recorded, [("a", mine), ("b", other)], held, quiet)
    assert [result.total.exact for result in results] == [1, 1]
    assert len(list(Path(".likewise").iterdir())) == 2


@pytest.mark.parametrize(
    ("kind", "wanted", "expected"),
    [
        (JudgeKind.EMBEDDING, None, JudgeKind.EMBEDDING),
        (JudgeKind.TEXT, None, JudgeKind.TEXT),
        (JudgeKind.LLM, None, JudgeKind.EMBEDDING),
        (JudgeKind.LLM, "text", JudgeKind.TEXT),
        (JudgeKind.TEXT, "embedding", JudgeKind.EMBEDDING),
    ],
)
def test_no_model_is_ever_asked(kind: JudgeKind, wanted: str | None, expected: JudgeKind) -> None:
    """A replay sends nothing; whoever names a judge gets it."""
    assert comparing.judge_kind(JudgeRules(kind=kind), wanted) is expected


def test_an_interval_is_shown_with_its_estimate() -> None:
    """In per cent; nothing where there was nothing to count."""
    assert comparing.interval(evidence.Share(0.1, 0.051, 0.2049, 30)) == "10.0% (5.1-20.5%)"
    assert comparing.interval(evidence.Share(0.0, 0.0, 1.0, 0)) == "-"
