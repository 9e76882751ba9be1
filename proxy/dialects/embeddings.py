"""OpenAI's embeddings: a request as the items it asks for, an answer as one piece per item. Pure.

A vector depends on nothing but its item and the request's other fields, so each item has a key and
an entry of its own; the entry's body is the answer that a request for this item alone would get.
"""

from __future__ import annotations

from binascii import a2b_base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import orjson

from policies.values import AnswerFacts, Query
from policies.verdicts import Reason
from proxy.dialects import chunks, fields
from proxy.dialects.canonical import digest, encode
from proxy.dialects.chunks import Chunked
from proxy.dialects.reading import named_user

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.dialects.ports import Form, Frame

Value: TypeAlias = str | list[int]

# OpenAI's own bound. It also bounds what one small body can make of objects here.
MOST_ITEMS = 2_048
# What the journal is shown of a batch.
_SHOWN_ITEMS, _SHOWN = 64, 4_000
_DATA = b'"data":['
_FIRST = b'{"index":0,'
_NUMBERS = {int, float}
_TOKENS = ("prompt_tokens", "total_tokens")
_MOST_TOKENS = 2**40


class Item(NamedTuple):
    """One thing to embed: as it is sent, and as the core sees it."""

    value: Value
    query: Query


class Piece(NamedTuple):
    """What an answer holds for one item.

    `data` is its object as JSON, `index` left out; `usage` its share of prompt and total tokens.
    """

    data: bytes
    model: str
    usage: tuple[int, int] | None


class Embeddings(Chunked):
    """`POST /v1/embeddings`."""

    name = "embeddings"
    paths = ("/v1/embeddings", "/embeddings")

    def end_user(self, body: dict[str, Any]) -> str | None:
        return named_user(body, "user")

    def read(self, body: dict[str, Any], around: Frame) -> Query:
        """The request as a whole; `itemise` says what of it is looked up."""
        model = body.get("model")
        values = split(body.get("input"))
        return Query(
            dialect=self.name,
            upstream=around.upstream,
            model=around.deployment or (model if isinstance(model, str) else ""),
            owners=around.owners,
            fingerprint=digest(
                around.headers,
                around.deployment.encode(),
                encode(fields.keyed(body, fields.EMBEDDINGS), floats=around.floats),
            ),
            chain="",
            text="\n".join(map(_text, (values or [])[:_SHOWN_ITEMS]))[:_SHOWN],
            # Nothing is sampled: no category's limit on it may rule out a vector.
            temperature=0.0,
            bypass=chunks.mistyped(body) or (None if values else Reason.UNSUPPORTED),
            # A similar text's vector is another vector. This reason is what a miss is then told as,
            # and that nothing is kept for the item is all there is to say of it.
            exact_only=Reason.EMPTY,
            directives=around.directives,
        )

    def judge(self, answer: bytes, *, streamed: bool, query: Query, strict: bool) -> AnswerFacts:  # noqa: ARG002 - the port's shape
        """The facts of one item's answer, as `together` writes it; upstream's are judged whole,
        by `apart`."""
        try:
            usage = unpack(answer).usage
        except ValueError:
            return AnswerFacts(len(answer), Reason.INVALID_JSON)
        tokens, _ = usage or (0, 0)
        return AnswerFacts(len(answer), tokens_in=tokens, has_usage=usage is not None)

    def render(self, answer: bytes, *, streamed: bool, form: Form) -> bytes:  # noqa: ARG002 - the port's shape
        return answer

    def said(self, answer: bytes, *, streamed: bool) -> str | None:  # noqa: ARG002 - the port's shape
        """Vectors are no text."""
        return None


# -- requests ------------------------------------------------------------------------------------


def split(given: Any) -> list[Value] | None:
    """The items of an `input`; None where its shape is not known, and upstream has to judge it.

    A single text is a list of that one text, and so is a single list of tokens.
    """
    if isinstance(given, str) or _are_tokens(given):
        return [given]
    if not isinstance(given, list) or not 0 < len(given) <= MOST_ITEMS:
        return None
    alike = all(isinstance(one, str) for one in given) or all(map(_are_tokens, given))
    return given if alike else None


def itemise(body: dict[str, Any], whole: Query) -> tuple[Item, ...]:
    """The request's items in their order, each with its own query."""
    values = split(body.get("input")) or []
    # The tokens [1] and the text "[1]" are two items; those of one request are of one kind.
    kind = b"text" if values and isinstance(values[0], str) else b"tokens"
    each = replace(whole, fingerprint=digest(whole.fingerprint, kind))
    return tuple(Item(value, replace(each, text=_text(value))) for value in values)


def only(body: dict[str, Any], values: Sequence[Value]) -> bytes:
    """The request's body, asking for these items."""
    return orjson.dumps({**body, "input": values})


def _are_tokens(value: Any) -> bool:
    """Whether this is one item that the caller has cut into the model's tokens."""
    return isinstance(value, list) and bool(value) and all(type(one) is int for one in value)


def _text(value: Value) -> str:
    return value if isinstance(value, str) else encode(value, floats=False).decode()


# -- answers -------------------------------------------------------------------------------------


def apart(answer: bytes, lengths: Sequence[int]) -> list[Piece] | Reason:
    """An upstream's answer as a piece per item asked for, or why it is no good one.

    `lengths` are the items' own, by which the tokens are shared out.
    """
    try:
        whole = orjson.loads(answer)  # refuses NaN, and numbers that a float cannot hold
    except orjson.JSONDecodeError:
        return Reason.INVALID_JSON
    rows = _in_order(whole, len(lengths))
    if rows is None:
        return Reason.INCOMPLETE
    if not all(_is_vector(row.get("embedding")) for row in rows):
        return Reason.INVALID_JSON
    shares = _shares(whole.get("usage"), lengths)
    try:
        data = [orjson.dumps({k: v for k, v in row.items() if k != "index"}) for row in rows]
    except TypeError:  # nested deeper than can be written
        return Reason.INVALID_JSON
    return [Piece(one, whole["model"], share) for one, share in zip(data, shares, strict=True)]


def together(pieces: Sequence[Piece]) -> bytes:
    """The answer that these pieces make, in this order. One of them makes an item's stored answer.

    `data` comes last, so that a piece can be taken out again without reading its numbers.
    """
    head: dict[str, Any] = {"object": "list", "model": pieces[0].model}
    usages = [piece.usage for piece in pieces if piece.usage is not None]
    if len(usages) == len(pieces):
        sums = map(sum, zip(*usages, strict=True))
        head["usage"] = dict(zip(_TOKENS, sums, strict=True))
    rows = (b'{"index":%d,%b' % (at, piece.data[1:]) for at, piece in enumerate(pieces))
    return orjson.dumps(head)[:-1] + b"," + _DATA + b",".join(rows) + b"]}"


def unpack(answer: bytes) -> Piece:
    """The piece in an item's stored answer. Raises ValueError where it is none of ours."""
    head, _, row = answer.partition(_DATA)
    told = orjson.loads(head + _DATA + b"]}")
    if not (isinstance(told.get("model"), str) and row.startswith(_FIRST) and row.endswith(b"}]}")):
        raise ValueError("not the answer for one item")
    (share,) = _shares(told.get("usage"), [1])
    return Piece(b"{" + row[len(_FIRST) : -2], told["model"], share)


def apportion(total: int, lengths: Sequence[int]) -> list[int]:
    """Whole shares of `total` by length that add up to it: largest remainders, the first first."""
    weights = [max(1, length) for length in lengths]
    whole = sum(weights)
    shares = [total * weight // whole for weight in weights]
    nearest = sorted(range(len(weights)), key=lambda at: -(total * weights[at] % whole))
    for at in nearest[: total - sum(shares)]:
        shares[at] += 1
    return shares


def _in_order(whole: Any, wanted: int) -> list[dict[str, Any]] | None:
    """The data of a complete answer by `index`, which some servers do not answer in."""
    if not isinstance(whole, dict) or whole.get("error") is not None:
        return None
    rows = whole.get("data")
    if whole.get("object") != "list" or not isinstance(whole.get("model"), str):
        return None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        return None
    by_index = {row["index"]: row for row in rows if type(row.get("index")) is int}
    if len(rows) != wanted or by_index.keys() != set(range(wanted)):
        return None
    return [by_index[at] for at in range(wanted)]


def _is_vector(value: Any) -> bool:
    """Numbers, or base64 of them."""
    if isinstance(value, list):
        return bool(value) and set(map(type, value)) <= _NUMBERS
    try:
        return isinstance(value, str) and bool(a2b_base64(value, strict_mode=True))
    except ValueError:
        return False


def _shares(usage: Any, lengths: Sequence[int]) -> list[tuple[int, int] | None]:
    """Each item's tokens, None throughout where upstream did not count them."""
    told = [usage.get(name) for name in _TOKENS] if isinstance(usage, dict) else []
    counts = [one for one in told if type(one) is int and 0 <= one < _MOST_TOKENS]
    if len(counts) != len(_TOKENS):
        return [None] * len(lengths)
    prompt, total = (apportion(count, lengths) for count in counts)
    return list(zip(prompt, total, strict=True))
