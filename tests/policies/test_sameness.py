"""What of comparing answers needs no model: words, chunks, similarities, cuts, vetoes."""

from __future__ import annotations

import numpy as np
import pytest

from policies.sameness import CHUNK, chunks, conflict, cut, plain, sentences, similarity

X, Y, Z = (np.eye(3, dtype=np.float32)[n] for n in range(3))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("The sky is blue.", "the sky is blue"),
        ("  The  sky\nis blue!", "the sky is blue"),
        ("Sure! The sky is blue. I hope this helps!", "the sky is blue"),
        ("Certainly, the sky is blue.", "the sky is blue"),
        ("Great question! Here is what you need to know: the sky is blue.", "the sky is blue"),
        ("The sky is **blue** 🙂. Let me know if you have more questions.", "the sky is blue"),
        ("# Sky\n\n- blue\n- red\n1. green", "sky blue red green"),
        ("Sure!", "sure"),
        ("Let me know.", "let me know"),
        ("Surely the sky is blue.", "surely the sky is blue"),
        ("No. It is red.", "no. it is red"),
        ("", ""),
        ("🙂", ""),
        ("***", ""),
    ],
)
def test_plain_words(answer: str, expected: str) -> None:
    """Case, spacing, marks, symbols and polite phrases go; what is said stays."""
    assert plain(answer) == expected


def test_an_answer_may_be_as_polite_as_it_likes() -> None:
    """Phrases without end cost their length, and nothing is lost."""
    assert plain("sure, " * 5_000 + "blue") == "blue"
    assert sentences("Feel free to ask. " * 5_000) == ["Feel free to ask."]


def test_chunks_lose_nothing_and_fit() -> None:
    """Sentences are packed in order; one that is too long is cut; none is empty."""
    told = [f"Sentence number {n} of the answer." for n in range(100)] + ["x" * 2_000]
    made = chunks(told)
    assert all(0 < len(piece) <= CHUNK for piece in made)
    assert "".join(made).replace(" ", "") == "".join(told).replace(" ", "")
    assert len(made) < 10
    assert chunks([]) == []


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([(X, 10)], [(X, 30)], 1.0),
        ([(X, 10)], [(Y, 10)], 0.0),
        ([(X, 10), (Y, 10)], [(Y, 10), (X, 10)], 1.0),
        ([(X, 10), (Y, 30)], [(X, 10)], 0.25),
        ([(X, 10)], [(X, 10), (Y, 30)], 0.25),
        ([(X, 10), (Y, 10)], [(X, 10), (Z, 30)], 0.25),
        ([(-X, 10)], [(X, 10)], 0.0),
        ([], [], 0.0),
    ],
)
def test_the_worse_direction_counts(
    a: list[tuple[np.ndarray, int]], b: list[tuple[np.ndarray, int]], expected: float
) -> None:
    """Order does not matter; what one says beyond the other does, by its length."""
    assert similarity(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [((5, 5), 0.65), ((25, 300), 0.65), ((50, 60), 0.725), ((75, 75), 0.8), ((500, 90), 0.8)],
)
def test_short_answers_need_less(words: tuple[int, int], expected: float) -> None:
    """From a sentence or two on, the cut rises to that of long answers; the shorter one counts."""
    assert cut(*words, 0.8) == pytest.approx(expected)
    assert cut(*reversed(words), 0.8) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("a", "b", "stopped"),
    [
        ("It takes 30 days.", "It takes 14 days.", True),
        ("It takes 30 days.", "You have to wait thirty days for it.", False),
        ("Turn the freeze on.", "Turn the freeze off.", True),
        ("It is 5 miles.", "It is 5 km.", True),
        ("The capital is Paris.", "Paris is the capital.", False),
        ("word " * 70 + "30 days", "word " * 70 + "14 days", False),
    ],
)
def test_short_answers_are_read_closely(a: str, b: str, stopped: bool) -> None:
    """Where a number or an opposite is all that is said it decides; in long answers it does not."""
    assert (conflict(a, b) is not None) is stopped
