"""Which policy rules a query: header, patterns, keywords, models, then the nearest examples."""

from __future__ import annotations

import numpy as np
import pytest

from policies.category import FLOOR, MARGIN, Centroids, centroids, declared, nearest, twins
from policies.values import CategoryRules, Directives, Owners, Query, Rules, Threshold, Vector

DEFAULTS = CategoryRules("default", Threshold(0.9), ttl=60)


def category(name: str, **parts: tuple[str, ...]) -> CategoryRules:
    return CategoryRules(name, Threshold(0.9), ttl=60, **parts)  # type: ignore[arg-type]


def query(text: str, model: str = "m", header: str | None = None) -> Query:
    directives = Directives(category=header)
    return Query("openai", "u", model, Owners("k"), b"", "", text, directives=directives)


def named(asked: Query, *categories: CategoryRules) -> str | None:
    chosen = declared(asked, Rules(DEFAULTS, categories))
    return None if chosen is None else chosen.name


BY_MODEL = category("model", models=("gpt-*",))
BY_WORD = category("word", keywords=("price",))
BY_PATTERN = category("pattern", patterns=(r"\bprice of\b",))
PLAIN = category("plain")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (query("the price of gold", "gpt-4", "plain"), "plain"),
        (query("the price of gold", "gpt-4", "default"), "default"),
        (query("the price of gold", "gpt-4"), "pattern"),
        (query("gold, its price", "gpt-4"), "word"),
        (query("gold", "gpt-4"), "model"),
        (query("gold", "claude"), None),
        (query("the price of gold", "gpt-4", "unheard-of"), None),
    ],
)
def test_the_first_sure_sign_decides(asked: Query, expected: str | None) -> None:
    """Header before pattern before keyword before model, whatever order the policy lists them."""
    assert named(asked, BY_MODEL, BY_WORD, BY_PATTERN, PLAIN) == expected
    assert named(asked, PLAIN, BY_PATTERN, BY_WORD, BY_MODEL) == expected


def test_of_two_equal_signs_the_first_category_wins() -> None:
    """Within one kind of sign the policy's order decides."""
    other = category("other", keywords=("gold", "price"))
    assert named(query("price of gold"), BY_WORD, other) == "word"
    assert named(query("price of gold"), other, BY_WORD) == "other"


@pytest.mark.parametrize(
    ("keyword", "text", "hit"),
    [
        ("price", "What is the PRICE?", True),
        ("price", "price", True),
        ("price", "(price)", True),
        ("price", "prices", False),
        ("price", "priceless", False),
        ("price", "the_price_of", False),
        ("price", "price2", False),
        ("right now", "what is on right now?", True),
        ("right now", "right, now", False),
        ("c++", "Is C++ fast?", True),
        ("c++", "c++11", False),
        ("up-to-date", "an up-to-date list", True),
        ("a.b", "a.b", True),
        ("a.b", "axb", False),
        ("straße", "Welche STRASSE", False),
        ("straße", "Welche Straße?", True),
        ("über", "Übermorgen", False),
        ("heute", "Was ist HEUTE los", True),
        ("cafe", "un café", False),
        ("cafe", "un cafe\u0301", False),
        ("aujourd'hui", "C'est aujourd'hui.", True),
        ("mañana", "¿mañana?", True),
        ("сегодня", "Что СЕГОДНЯ?", True),
        ("цена", "оценая", False),
        ("σήμερα", "τι ΣΉΜΕΡΑ;", True),
        ("اليوم", "ما اليوم؟", True),
        ("आज", "आज मौसम", True),
        ("आज", "आजी", False),
        ("天气", "今天天气怎么样", True),
        ("今日", "今日は何曜日", True),
        ("ราคา", "บอกราคาหน่อย", True),
        ("天气", "今天价格", False),
    ],
)
def test_keywords_are_whole_words_in_every_script(keyword: str, text: str, *, hit: bool) -> None:
    """A keyword is no part of a longer word, save where a script puts no space between words."""
    assert named(query(text), category("c", keywords=(keyword,))) == ("c" if hit else None)


def test_a_script_without_spaces_beside_one_with() -> None:
    """Keywords of several languages in one list keep each its own rule."""
    mixed = category("c", keywords=("today", "今日", "heute"))
    texts = ["today?", "今日は", "Heute!", "todays", "heutig", "昨日"]
    assert [named(query(text), mixed) for text in texts] == ["c"] * 3 + [None] * 3


@pytest.mark.parametrize(
    ("glob", "model", "hit"),
    [
        ("gpt-4o*", "gpt-4o-mini", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("*", "anything", True),
        ("GPT-*", "gpt-4", False),
        ("o[13]", "o3", True),
    ],
)
def test_models_are_globs(glob: str, model: str, *, hit: bool) -> None:
    """Model names match whole, by shell patterns, with case."""
    assert named(query("x", model), category("c", models=(glob,))) == ("c" if hit else None)


@pytest.mark.parametrize(
    ("pattern", "text", "hit"),
    [
        (r"\bmy (password|order)\b", "Where is MY ORDER?", True),
        (r"\bmy (password|order)\b", "my orders", False),
        (r"^hello$", "hello\nworld", False),
        (r"(?s)a.b", "a\nb", True),
        (r"a|b", "xxb", True),
    ],
)
def test_patterns_ignore_case(pattern: str, text: str, *, hit: bool) -> None:
    """A pattern is searched anywhere in the text, in either case."""
    assert named(query(text), category("c", patterns=(pattern,))) == ("c" if hit else None)


@pytest.mark.parametrize(
    "pattern", [r"(a+)+$", r"(a|aa)*b", r"(.*a){20}b", r"^(([a-z])+.)+[A-Z]([a-z])+$"]
)
def test_hostile_patterns_end(pattern: str) -> None:
    """Patterns that hang a backtracking engine for longer than a life are answered here."""
    assert named(query("a" * 20_000 + "!"), category("c", patterns=(pattern,))) is None


def unit(*values: float) -> Vector:
    vector = np.array(values, np.float32)
    return vector / np.linalg.norm(vector)


def test_centroids_are_unit_means() -> None:
    """A category's centroid is the direction of its examples' mean, in policy order."""
    made = centroids({"b": [unit(1, 0), unit(0, 1)], "a": [unit(1, 0)]})
    assert made.names == ("b", "a")
    assert made.rows == pytest.approx(np.array([[0.5**0.5, 0.5**0.5], [1, 0]]), abs=1e-6)


def test_no_examples_no_guess() -> None:
    """Without any examples nothing is guessed."""
    made = centroids({})
    assert made.names == ()
    assert nearest(unit(1, 0), made) is None


def test_examples_that_cancel_out_attract_nothing() -> None:
    """Opposite examples make no direction: no number is divided by zero, nothing is near."""
    guess = nearest(unit(1, 0), centroids({"a": [unit(1, 0), unit(-1, 0)]}))
    assert guess is not None
    assert (guess.name, guess.score) == (None, 0.0)


def _scores(first: float, second: float) -> tuple[Vector, Centroids]:
    """A query vector whose cosines with two centroids are the given ones."""
    rows = np.eye(3, dtype=np.float32)[:2]
    rest = max(0.0, 1 - first**2 - second**2) ** 0.5
    return np.array([first, second, rest], np.float32), Centroids(("a", "b"), rows)


@pytest.mark.parametrize(
    ("first", "second", "name", "best", "runner_up"),
    [
        (0.8, 0.2, "a", "a", "b"),
        (0.2, 0.8, "b", "b", "a"),
        (0.5, 0.5 - MARGIN - 0.01, "a", "a", "b"),
        (0.5, 0.5 - MARGIN + 0.01, None, "a", "b"),
        (0.5, 0.5, None, "a", "b"),
        (FLOOR + 0.01, 0.0, "a", "a", "b"),
        (FLOOR - 0.01, 0.0, None, "a", "b"),
        (0.0, 0.0, None, "a", "b"),
    ],
)
def test_a_guess_needs_floor_and_margin(
    first: float, second: float, name: str | None, best: str, runner_up: str
) -> None:
    """Near enough and clearly ahead of the next, else no category; both are told either way."""
    guess = nearest(*_scores(first, second))
    assert guess is not None
    assert (guess.name, guess.best, guess.runner_up) == (name, best, runner_up)
    assert [guess.score, guess.runner_up_score] == pytest.approx(
        sorted([first, second], reverse=True), abs=1e-6
    )


def test_a_single_category_needs_no_margin() -> None:
    """With one category of examples the floor alone decides, and there is no runner-up."""
    guess = nearest(unit(1, 0), Centroids(("a",), unit(1, 1).reshape(1, -1)))
    assert guess is not None
    assert (guess.name, guess.runner_up, guess.runner_up_score) == ("a", "", 0.0)


def test_the_same_text_is_always_guessed_alike() -> None:
    """Ties go to the policy's order, every time."""
    rows = np.stack([unit(1, 0)] * 5)
    made = Centroids(tuple("abcde"), rows)
    guesses = {nearest(unit(1, 0), made) for _ in range(50)}
    assert len(guesses) == 1
    (guess,) = guesses
    assert guess is not None
    assert (guess.name, guess.best, guess.runner_up) == (None, "a", "b")


@pytest.mark.parametrize(
    ("first", "second", "doubt"),
    [
        (0.8, 0.2, ""),
        (FLOOR - 0.01, 0.0, "below 0.3"),
        (0.5, 0.5, "less than 0.1 apart"),
        (FLOOR - 0.01, FLOOR - 0.01, "below 0.3"),
    ],
)
def test_a_guess_says_what_it_lacks(first: float, second: float, doubt: str) -> None:
    """For people who ask why a question fell to the defaults."""
    guess = nearest(*_scores(first, second))
    assert guess is not None
    assert guess.doubt == doubt


@pytest.mark.parametrize(
    ("cosine", "near"), [(1.0, True), (1 - MARGIN + 0.01, True), (1 - MARGIN - 0.01, False)]
)
def test_twins_are_nearer_than_the_margin(cosine: float, *, near: bool) -> None:
    """A question right at one of them would not be ahead of the other by the margin."""
    other = unit(cosine, (1 - cosine**2) ** 0.5)
    made = Centroids(("a", "b", "c"), np.stack([unit(1, 0), other, unit(-1, 0)]))
    found = twins(made)
    assert [(one, two) for one, two, _ in found] == ([("a", "b")] if near else [])
    guess = nearest(unit(1, 0), Centroids(("a", "b"), made.rows[:2]))
    assert guess is not None
    assert (guess.name is None) is near


def test_nothing_has_no_twins() -> None:
    """No category with examples, and only one."""
    assert twins(centroids({})) == []
    assert twins(centroids({"a": [unit(1, 0)]})) == []
