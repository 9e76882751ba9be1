"""Which language a text is taken for, and how guards read those besides English."""

from __future__ import annotations

from pathlib import Path

import pytest

from policies.guards import GUARDS, veto
from policies.languages import DECLARED, declared, gloss, of

CASES = Path(__file__).parent.parent / "golden" / "guards" / "languages.case"


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Wie kann ich mein Passwort zurücksetzen?", "de"),
        ("Comment supprimer mon compte ?", "fr"),
        ("¿Por qué no funciona la impresora?", "es"),
        ("Por que a impressora não funciona?", "pt"),
        ("Perché la stampante non funziona?", "it"),
        ("Hoe zet ik de donkere modus uit?", "nl"),
        ("Jak włączyć tryb ciemny?", "pl"),
        ("Karanlık mod nasıl açılır?", "tr"),  # noqa: RUF001
        ("如何删除我的账户？", "zh"),  # noqa: RUF001
    ],
)
def test_other_languages_are_told(text: str, language: str) -> None:
    """A short question is enough."""
    assert of(text) == language


@pytest.mark.parametrize(
    "text",
    [
        "", "2+2", "?!", "hi", "python list sort", "Who is Angela Merkel?", "las vegas hotels",
        "what is a schadenfreude", "SELECT * FROM users", "HELP ME",
        "def f(x): return x", "best pho in Hanoi", "how much is a croissant in Paris",
        "legionella pneumophila", "thx 4 ur help m8", "Lufthansa to Zürich",
    ],
)  # fmt: skip
def test_english_prompts_are_english(text: str) -> None:
    """Keywords, names, code, loan words and typing errors raise no alarm."""
    assert of(text) == "en"


def test_gloss_leaves_english_alone() -> None:
    """English is read as it stands, and so is a language without a table."""
    for text in ("Turn it on, not off", "Jak włączyć tryb ciemny?", ""):
        assert gloss(text) == text


def test_gloss_puts_in_what_guards_look_for() -> None:
    """Negators, numbers and directions become English, all else stays."""
    assert gloss("Wie komme ich von Köln nach Bonn?") == "Wie komme ich from Köln to Bonn?"
    assert gloss("Warum gehen zehn Lampen nicht?") == "Warum gehen ten Lampen not?"


@pytest.mark.parametrize(
    ("model", "many"),
    [
        ("all-MiniLM-L6-v2", False),
        ("sentence-transformers/all-mpnet-base-v2", False),
        ("sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2", True),
        ("intfloat/multilingual-e5-small", True),
        ("/models/LaBSE/", True),
        ("multilingual-models/english-only", False),
    ],
)
def test_declared_by_model(model: str, many: bool) -> None:
    """A model's own name says what it carries; its folder does not."""
    assert declared(model) == (DECLARED if many else {"en"})


def _rows() -> list[list[str]]:
    lines = CASES.read_text(encoding="utf-8").splitlines()
    return [line.split(" | ") for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize(("guard", "verdict", "a", "b"), _rows())
def test_guards_read_declared_languages(guard: str, verdict: str, a: str, b: str) -> None:
    """What they stop in English they stop in the others; a plain paraphrase passes that guard."""
    assert guard in GUARDS
    for one, other in ((a, b), (b, a)):
        assert (veto(one, other, [guard]) is not None) is (verdict == "stop")
