"""Generated answers: the official accumulators make of each stream what its whole answer says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.cases import STREAM, WHOLE, of_api
from tests.conformance.clients import anthropic, openai
from tests.conformance.compare import differences
from tests.conformance.generated.listing import generated
from tests.conformance.upstream import Replay
from tests.proxy.house import uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conformance.cases import Case

ASK = {
    "chat": openai.chat,
    "completions": openai.completions,
    "responses": openai.responses,
    "messages": anthropic.messages,
}
SHARE = 0.25
# What openai's accumulator leaves out of these streams (see allowed.py).
LOST = ("content_filter_results", "prompt_filter_results")


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[str, Replay]]:
    replay = Replay()
    with uvicorn_of(replay) as url:
        yield url, replay


def _asked(place: tuple[str, Replay], case: Case, form: str) -> Any:
    url, replay = place
    replay.table[case.name] = case.recording
    return ASK[case.api](
        {
            "url": url,
            "key": case.name,
            "stream": form == STREAM,
            "usage": True,
            "request": case.request,
            "headers": {},
            "query": {},
        }
    )


@pytest.mark.parametrize("api", sorted(ASK))
def test_stream_and_whole_say_the_same(place: tuple[str, Replay], api: str) -> None:
    """Otherwise a difference found later might be the generator's own."""
    # Of an unfinished answer, an accumulator makes an error.
    for case in (one for one in of_api(generated(1, SHARE), api) if one.stored):
        streamed, whole = (_asked(place, case, form) for form in (STREAM, WHOLE))
        found = differences(streamed, whole, same_form=False)
        assert [one for one in found if not any(lost in one for lost in LOST)] == [], case.name


def test_a_seed_gives_the_same_cases() -> None:
    """A failure can be looked at again; another seed gives others."""
    assert generated(1, SHARE) == generated(1, SHARE)
    assert generated(1, SHARE) != generated(2, SHARE)


def test_two_hundred_streams_are_made() -> None:
    """The number that the target promises, every kind of each API among them."""
    cases = generated(1)
    assert sum(bool(case.recording.stream) for case in cases) == 200
    assert all(len(of_api(cases, api)) >= 40 for api in ASK)
