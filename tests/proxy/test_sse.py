"""Event streams against the vectors and the rules of WHATWG HTML §9.2."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.sse import Event, Parser, events, frame

LINE = st.binary(max_size=40).filter(lambda data: not set(data) & set(b"\r\n"))


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        # The standard's own examples (§9.2.6).
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [(b"", b"YHOO\n+2\n10")]),
        (
            (
                b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\n"
                b"data:  third event\n\n"
            ),
            [(b"", b"first event"), (b"", b"second event"), (b"", b" third event")],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [(b"", b""), (b"", b"\n")]),
        (b"data:test\n\ndata: test\n\n", [(b"", b"test"), (b"", b"test")]),
        (b"event: add\ndata: 73857293\n\n", [(b"add", b"73857293")]),
        # Line ends: each kind, and all of them in one stream.
        (b"data: a\r\n\r\n", [(b"", b"a")]),
        (b"data: a\r\rdata: b\r\r", [(b"", b"a"), (b"", b"b")]),
        (b"data: a\rdata: b\ndata: c\r\n\r\n", [(b"", b"a\nb\nc")]),
        # A byte order mark is taken off once, at the start only.
        (b"\xef\xbb\xbfdata: a\n\n", [(b"", b"a")]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", []),
        (b"data: \xef\xbb\xbfa\n\n", [(b"", b"\xef\xbb\xbfa")]),
        # Comments, fields that carry no data, and unknown ones.
        (b": OPENROUTER PROCESSING\n\ndata: a\n\n", [(b"", b"a")]),
        (b"id: 7\nretry: 10\nfoo: bar\ndata: a\n\n", [(b"", b"a")]),
        (b"Data: a\n\n data: b\n\n", []),
        (b"event: ping\n\ndata: a\n\n", [(b"", b"a")]),
        (b"event: x\nevent: y\ndata: a\n\n", [(b"y", b"a")]),
        (b"event: x\nevent\ndata: a\n\n", [(b"", b"a")]),
        (b"data: a:b\n\n", [(b"", b"a:b")]),
        # What is unfinished is dropped.
        (b"data: a\n\ndata: b\n", [(b"", b"a")]),
        (b"data: a\n\ndata: b", [(b"", b"a")]),
        (b"\n\n\n", []),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_says(
    stream: bytes, expected: list[tuple[bytes, bytes]]
) -> None:
    """Each vector yields exactly the events that a browser would dispatch."""
    assert [tuple(event) for event in events(stream)] == expected


def test_bytes_beyond_ascii_are_kept() -> None:
    """Data is bytes: no decoding, no Unicode line breaks (U+2028, NEL) taken for line ends."""
    data = "ä 中 \u2028 \x85".encode()
    assert list(events(b"data: " + data + b"\n\n")) == [Event(b"", data)]


@given(st.lists(st.tuples(LINE, LINE), max_size=6))
def test_what_is_framed_is_read_back(sent: list[tuple[bytes, bytes]]) -> None:
    """Any events survive the wire one after another."""
    stream = b"".join(frame(data, name) for name, data in sent)
    assert [tuple(event) for event in events(stream)] == sent


@given(st.lists(LINE, min_size=1, max_size=4), st.sampled_from([b"\n", b"\r", b"\r\n"]))
def test_data_of_several_lines_stays_one_event(lines: list[bytes], ending: bytes) -> None:
    """A line break inside data cannot end the event or lose what follows it."""
    assert list(events(frame(ending.join(lines)))) == [Event(b"", b"\n".join(lines))]


def test_the_frame_is_what_clients_expect() -> None:
    """The wire form is OpenAI's for unnamed events and Anthropic's for named ones."""
    assert frame(b"[DONE]") == b"data: [DONE]\n\n"
    assert frame(b"{}", b"ping") == b"event: ping\ndata: {}\n\n"


@given(
    st.lists(st.tuples(LINE, st.sampled_from([b"\n", b"\r\n", b"\r"])), max_size=12),
    st.lists(st.integers(1, 9), max_size=60),
)
def test_pieces_give_the_events_of_the_whole(
    lines: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    """However a stream is cut, feeding its pieces gives what reading it at once gives."""
    stream = b"".join(b"data: " + line + end + end for line, end in lines) + b"\n"
    parser, got, at = Parser(), [], 0
    for size in [*cuts, len(stream)]:
        got += parser.feed(stream[at : at + size])
        at += size
    assert got == list(events(stream))


def test_a_stream_cut_at_every_byte_gives_the_same_events() -> None:
    """Two pieces, every cut: line ends, the byte order mark and comments included."""
    stream = (
        "\ufeffevent: a\r\ndata: ü\r\n\r\n: hi\n\ndata: x\ndata: y\n\ndata\r\rdata: z\n\n".encode()
    )
    whole = list(events(stream))
    assert len(whole) == 4
    for cut in range(len(stream) + 1):
        parser = Parser()
        assert parser.feed(stream[:cut]) + parser.feed(stream[cut:]) == whole


def test_what_is_left_over_is_seen_at_the_end() -> None:
    """An event whose empty line never came is handed out by `close` alone, and only once."""
    parser = Parser()
    assert parser.feed(b"data: a\n\ndata: b") == [Event(b"", b"a")]
    assert parser.close() == [Event(b"", b"b")]
    assert parser.close() == []
