"""Normal form, words and stems of a prompt, and when meaning may not be compared."""

from __future__ import annotations

import pytest

from policies.text import bag, embeddable, normalise, stem, stems, words
from policies.verdicts import Reason


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("What is photosynthesis?", "what is photosynthesis"),
        ("  what\tis\n photosynthesis  ", "what is photosynthesis"),
        ("WHAT IS PHOTOSYNTHESIS?!?!", "what is photosynthesis"),
        ("What is photosynthesis…", "what is photosynthesis"),
        ("What is photosynthesis ?", "what is photosynthesis"),
        ("“What is photosynthesis?”", "what is photosynthesis"),
        ("(What is photosynthesis?)", "what is photosynthesis"),
        ("ｗｈａｔ ｉｓ ｐｈｏｔｏｓｙｎｔｈｅｓｉｓ？", "what is photosynthesis"),  # noqa: RUF001
        ("what is\u00a0photo\u200bsynthesis\ufeff", "what is photosynthesis"),
        ("¿what?", "what"),
        ('"a" and "b"', '"a" and "b"'),
        ("f(x) and g(y)", "f(x) and g(y)"),
        ("don’t", "don't"),  # noqa: RUF001
        ("Straße", "strasse"),
        ("what is 3.14", "what is 3.14"),
        ("C# or C++?", "c# or c++"),
        ("?!", ""),
        ("", ""),
    ],
)
def test_normalise(text: str, normal: str) -> None:
    """Spelling that changes no meaning is gone, everything else stays; once is enough."""
    assert normalise(text) == normal
    assert normalise(normal) == normal


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("What is the capital of France?", None),
        ("Is a café in Zürich expensive?", None),
        ("What does 'Schadenfreude und Angst' mean in the end?", None),
        ("What does the word jalapeño mean", None),
        ("sort list python", None),
        ("How much is 5 µg of it?", None),
        ("2+2", None),
        ("是什么", Reason.LANGUAGE),
        ("Translate 'привет' into English", Reason.LANGUAGE),
        ("ลืมรหัสผ่าน", Reason.LANGUAGE),
        ("What does λόγος mean?", Reason.LANGUAGE),
        ("Wie schalte ich den Dunkelmodus ein?", Reason.LANGUAGE),
        ("Comment puis-je changer le mot de passe ?", Reason.LANGUAGE),
        ("¿Cómo puedo cambiar la contraseña?", Reason.LANGUAGE),
        ("Làm thế nào để đổi mật khẩu", Reason.LANGUAGE),
        ("", Reason.UNSUPPORTED),
        ("  \n", Reason.UNSUPPORTED),
        ("🙂🙂", Reason.UNSUPPORTED),
        ("\u200b\u200d", Reason.UNSUPPORTED),
        ("?!…", Reason.UNSUPPORTED),
        ("a" * 32_000, None),
        ("a" * 32_001, Reason.TOO_LONG),
    ],
)
def test_embeddable(text: str, reason: Reason | None) -> None:
    """Only what an English encoder and English guards can read is compared by meaning."""
    assert embeddable(text) == reason


def test_words_keep_order_and_apostrophes() -> None:
    """Words are casefolded, in order, with one kind of apostrophe; signs are not words."""
    assert words("France’s capital, isn't it? snake_case") == (  # noqa: RUF001
        "france's", "capital", "isn't", "it", "snake", "case",
    )  # fmt: skip
    assert words("?!") == ()


@pytest.mark.parametrize(
    "forms",
    ["use uses used using", "stop stops stopped stopping", "city cities", "bite bites bit bitten",
     "class classes", "kill kills killed killing", "france france's", "change changed changing"],
)  # fmt: skip
def test_stem_brings_forms_together(forms: str) -> None:
    """All forms of a word have one stem."""
    assert len({stem(w) for w in forms.split()}) == 1


@pytest.mark.parametrize("pair", ["bus bust", "thing think", "united unit", "is it", "news new"])
def test_stem_keeps_words_apart(pair: str) -> None:
    """Different words keep different stems, or at least none is emptied."""
    assert all(stem(w) for w in pair.split())


def test_stems_are_those_of_the_words() -> None:
    """In reading order, and once each in the bag."""
    assert stems("Dogs bite DOGS' bones") == ("dog", "bit", "dog", "bon")
    assert bag("Dogs bite DOGS' bones") == {"dog", "bit", "bon"}
    assert stems("") == ()
    assert bag("?!") == frozenset()
