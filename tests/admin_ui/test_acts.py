from __future__ import annotations

from typing import Any

import pytest

from admin_ui.acts import act, detail, outcome

SCOPE: dict[str, Any] = {
    "method": "POST", "path": "/api/entries/purge", "query_string": b"",
    "state": {"who": "operator 0a1b2c3d", "role": "operator"},
}  # fmt: skip


def test_an_act_tells_who_what_and_how_it_ended() -> None:
    """From where, on what, by which log-in."""
    told = act(SCOPE, "10.0.0.1", b'{"selection": {"tag": "x"}, "dry_run": false}', 200)
    assert (told.who, told.role, told.address) == ("operator 0a1b2c3d", "operator", "10.0.0.1")
    assert told.what == "POST /api/entries/purge"
    assert told.detail == '{"selection": {"tag": "x"}, "dry_run": false}'
    assert told.outcome == "done"
    assert told.at > 1_700_000_000


@pytest.mark.parametrize(
    ("query", "body", "told"),
    [
        (b"", b"", ""),
        (
            b"overwrite=true&secret=s",
            b'{"a": 1}\n{"b": 2}',
            '{"overwrite": "true", "secret": "(hidden)", "bytes": 17}',
        ),
        (b"", b"entry=e1&csrf=abc", '{"entry": "e1"}'),
        (b"", b"token=hunter2&next=%2F", '{"token": "(hidden)", "next": "/"}'),
        (
            b"",
            b'{"text": "policy: {}", "revision": "r1"}',
            '{"text": "(hidden)", "revision": "r1"}',
        ),
        (
            b"",
            b'{"credential": "sk-1", "note": "\xc3\xbc"}',
            '{"credential": "(hidden)", "note": "ü"}',
        ),
        (
            b"",
            b'{"selection": {"user": "alice", "tag": "x"}}',
            '{"selection": {"user": "(hidden)", "tag": "x"}}',
        ),
        (b"", rb'{"tag": "a\ud800b"}', r'{"tag": "a\ud800b"}'),
        (b"", rb'{"tag": "\ud83d\ude00"}', '{"tag": "\U0001f600"}'),
        (b"", b"[1]", '{"bytes": 3}'),
        (b"", b"\xff\x00", '{"bytes": 2}'),
        (b"a=b", b"nonsense", '{"a": "b", "bytes": 8}'),
    ],
)
def test_details_leave_out_secrets_and_long_texts(query: bytes, body: bytes, told: str) -> None:
    """What was asked for, in few words; of what cannot be read the size."""
    assert detail(query, body) == told


def test_an_act_is_short() -> None:
    """Whatever is sent."""
    scope = SCOPE | {"path": "/" + "x" * 5_000}
    told = act(scope, "", b'{"note": "' + b"y" * 9_000 + b'"}', 403)
    assert len(told.what) == len(told.detail) == 500


@pytest.mark.parametrize(
    ("status", "word"),
    [(200, "done"), (303, "done"), (403, "refused (403)"), (500, "failed (500)"), (0, "broke off")],
)
def test_how_it_ended(status: int, word: str) -> None:
    """In words, with the status that was sent."""
    assert outcome(status) == word
