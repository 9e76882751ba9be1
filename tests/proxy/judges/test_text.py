"""Answers are the same when their words are."""

from __future__ import annotations

import pytest

from proxy.judges.text import TextJudge


@pytest.mark.parametrize(
    ("fresh", "remembered", "expected"),
    [
        ("Paris.", "paris", True),
        ("Sure! **Paris**", "Paris", True),
        ("Paris", "Rome", False),
        ("", "Paris", None),
        ("Paris", " \n", None),
        ("🙂", "🙂", None),
    ],
)
async def test_words_decide(fresh: str, remembered: str, expected: bool | None) -> None:
    """Marks do not count, other words do, and where there are none there is no label."""
    assert await TextJudge().same("?", fresh, remembered) is expected


def test_it_says_what_it_is() -> None:
    """People see which judge labels."""
    judge = TextJudge()
    assert judge.describe().startswith("judge: text")
    judge.close()
