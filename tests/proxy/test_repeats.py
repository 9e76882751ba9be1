"""A request is known again by its bytes and what its head says, under the rules it was read by."""

from __future__ import annotations

from typing import Any, cast

import pytest

from proxy.repeats import Repeats, key_of, lines_of

BODY = b'{"model": "m"}'


class Ask:
    """Settled under one set of rules."""

    def __init__(self, rules: object) -> None:
        self._rules = rules

    def settled_under(self, rules: object) -> bool:
        return rules is self._rules


def scope(*lines: tuple[bytes, bytes], path: str = "/v1/chat/completions") -> Any:
    return {"path": path, "query_string": b"", "headers": [(b"host", b"a"), *lines]}


def key(*lines: tuple[bytes, bytes], path: str = "/v1/chat/completions") -> Any:
    one = scope(*lines, path=path)
    return key_of(one, lines_of(one), BODY)


@pytest.mark.parametrize(
    "line",
    [(b"user-agent", b"other"), (b"accept", b"*/*"), (b"x-request-id", b"7")],
)
def test_what_nobody_reads_makes_no_other_request(line: tuple[bytes, bytes]) -> None:
    """Header lines without a meaning here are no part of the key."""
    assert key(line) == key()


@pytest.mark.parametrize(
    "line",
    [
        (b"authorization", b"Bearer b"), (b"x-api-key", b"b"), (b"cache-control", b"no-store"),
        (b"x-likewise-mode", b"exact"), (b"openai-organization", b"o"), (b"origin", b"https://a"),
        (b"content-encoding", b"gzip"),
    ],
)  # fmt: skip
def test_what_is_read_makes_another_request(line: tuple[bytes, bytes]) -> None:
    """Credentials, steering and what shapes an answer are part of the key, and so is the path."""
    assert key(line) != key()
    assert key(path="/v1/completions") != key()


def test_a_request_is_known_under_its_own_rules() -> None:
    """Other rules read it anew."""
    repeats, rules, others = Repeats(), cast("Any", object()), cast("Any", object())
    ask = cast("Any", Ask(rules))
    repeats.keep(key(), ask)
    assert repeats.read_before(key(), rules) is ask
    assert repeats.read_before(key(), others) is None
    assert repeats.read_before(key(path="/v1/messages"), rules) is None


def test_long_bodies_and_the_oldest_are_not_kept() -> None:
    """Memory is bounded: by the length of each and by their number; the latest used stay."""
    repeats, rules = Repeats(), cast("Any", object())
    ask = cast("Any", Ask(rules))
    repeats.keep(("p", b"", b"x" * 16_385), ask)
    assert repeats.read_before(("p", b"", b"x" * 16_385), rules) is None
    for number in range(4_096):
        repeats.keep(("p", b"", b"%d" % number), ask)
    assert repeats.read_before(("p", b"", b"0"), rules) is ask
    repeats.keep(("p", b"", b"new"), ask)
    assert repeats.read_before(("p", b"", b"0"), rules) is ask
    assert repeats.read_before(("p", b"", b"1"), rules) is None
