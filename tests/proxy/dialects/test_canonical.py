"""The canonical form: equal requests get equal bytes, ambiguous ones are refused."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.dialects.canonical import BadBody, depth, digest, encode, has_floats, parse


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":1,"b":2}', b'{ "b" : 2 ,\n"a" : 1 }'),
        (b'{"a":{"x":1,"y":2}}', b'{"a":{"y":2,"x":1}}'),
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":1}', b'{"a":1e0}'),
        (b'{"a":100}', b'{"a":100.0}'),
        (b'{"a":100}', b'{"a":1E+2}'),
        (b'{"a":[0]}', b'{"a":[-0.0]}'),
        (b'{"a":0}', b'{"a":-0}'),
        (b'{"a":0.5}', b'{"a":0.50}'),
        (b'{"a":0.5}', b'{"a":5e-1}'),
        (b'{"a":"\xc3\xa4"}', b'{"a":"\\u00e4"}'),
        (b'{"a":"\xf0\x9f\x98\x80"}', b'{"a":"\\ud83d\\ude00"}'),
        (b'{"a":"/"}', b'{"a":"\\/"}'),
    ],
)
def test_two_spellings_of_one_request_are_one(one: bytes, other: bytes) -> None:
    """Key order, white space, number forms and escapes do not tell requests apart."""
    assert encode(parse(one)) == encode(parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a":[1,2]}', b'{"a":[2,1]}'),
        (b'{"a":1}', b'{"a":"1"}'),
        (b'{"a":1}', b'{"a":true}'),
        (b'{"a":0}', b'{"a":false}'),
        (b'{"a":null}', b"{}"),
        (b'{"a":""}', b'{"a":null}'),
        (b'{"a":[]}', b'{"a":{}}'),
        (b'{"a":0.1}', b'{"a":0.10000000000000002}'),
        (b'{"a":9007199254740993}', b'{"a":9007199254740992}'),
        (b'{"a":18446744073709551615}', b'{"a":18446744073709551614}'),
        (b'{"a":"x"}', b'{"a":"X"}'),
        (b'{"a":"\xc3\xa4"}', b'{"a":"a\xcc\x88"}'),
    ],
)
def test_two_requests_stay_two(one: bytes, other: bytes) -> None:
    """What an upstream could tell apart has different bytes."""
    assert encode(parse(one)) != encode(parse(other))


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"nonsense", "invalid_json"),
        (b"{", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b'{"a":1,}', "invalid_json"),
        (b"{'a':1}", "invalid_json"),
        (b'{"a":01}', "invalid_json"),
        (b'{"a":"\n"}', "invalid_json"),
        (b"[]", "invalid_json"),
        (b"null", "invalid_json"),
        (b'"text"', "invalid_json"),
        (b"7", "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        ('{"a":1}'.encode("utf-16"), "invalid_json"),
        ('{"a":1}'.encode("utf-32-le"), "invalid_json"),
        (b'{"a":"\xff"}', "invalid_json"),
        (b'{"a":"\xc0\xaf"}', "invalid_json"),
        (b'{"a":"\xed\xa0\x80"}', "invalid_json"),
        (b'{"a":"\\ud800"}', "invalid_json"),
        (b'{"\\udc00":1}', "invalid_json"),
        (b'{"a":NaN}', "invalid_json"),
        (b'{"a":-Infinity}', "invalid_json"),
        (b'{"a":1e400}', "invalid_json"),
        (b'{"a":-1e400}', "invalid_json"),
        (b'{"a":' + b"9" * 5_000 + b"}", "invalid_json"),
        (b'{"a":-' + b"9" * 5_000 + b"}", "invalid_json"),
        (b'{"a":1' + b"0" * 5_000 + b".0}", "invalid_json"),
        (b'{"a":18446744073709551616}', "invalid_json"),
        (b'{"a":-9223372036854775809}', "invalid_json"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", "invalid_json"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "invalid_json"),
        (b'{"a":' + b"[" * 10_000, "invalid_json"),
        (b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", "invalid_json"),
        (b'{"a":1,"a":1}', "duplicate_key"),
        (b'{"a":1,"\\u0061":2}', "duplicate_key"),
        (b'{"messages":[{"role":"user","content":"x","role":"system"}]}', "duplicate_key"),
        (b'{"":1,"":2}', "duplicate_key"),
    ],
)
def test_what_two_parsers_could_read_differently_is_refused(raw: bytes, code: str) -> None:
    """No ambiguous body gets a key, whatever is wrong with it and however large it is."""
    with pytest.raises(BadBody) as caught:
        parse(raw)
    assert caught.value.code == code


def test_the_key_that_appears_twice_is_named() -> None:
    """The caller learns which key it was, cut to a length that fits an error."""
    with pytest.raises(BadBody) as caught:
        parse(b'{"k":1,"' + b"b" * 200 + b'":1,"' + b"b" * 200 + b'":2}')
    assert caught.value.param == "b" * 80


@pytest.mark.parametrize(
    ("levels", "good"), [(1, True), (99, True), (100, False), (101, False), (500, False)]
)
def test_a_hundred_levels_are_the_most(levels: int, good: bool) -> None:
    """The object itself is the first level, so 99 arrays inside it still pass."""
    raw = b'{"a":' + b"[" * levels + b"]" * levels + b"}"
    if good:
        assert depth(parse(raw)) == levels + 1
    else:
        with pytest.raises(BadBody, match="nested deeper than 100"):
            parse(raw)


def test_brackets_in_text_are_not_levels() -> None:
    """A prompt full of brackets is an ordinary prompt."""
    text = "[{" * 5_000
    assert parse(orjson.dumps({"a": text})) == {"a": text}


@pytest.mark.parametrize("number", [-(2**63), -1, 0, 2**53 + 1, 2**63, 2**64 - 1])
def test_integers_of_64_bits_are_exact(number: int) -> None:
    """No integer that fits is ever turned into a float."""
    assert encode(parse(b'{"seed":%d}' % number)) == b'{"seed":%d}' % number


# Numbers as they may be written, not only as a library writes them.
_FRACTION = st.text("0123456789", min_size=1, max_size=22).map(lambda digits: "." + digits)
_EXPONENT = st.builds(
    lambda e, sign, power: f"{e}{sign}{power}",
    st.sampled_from("eE"),
    st.sampled_from(["", "+", "-"]),
    st.integers(0, 20),
)
_NUMBER = st.builds(
    lambda sign, whole, fraction, exponent: f"{sign}{whole}{fraction}{exponent}",
    st.sampled_from(["", "-"]),
    st.integers(0, 10**18),
    st.one_of(st.just(""), _FRACTION, st.sampled_from([".0", ".00", ".5", "." + "9" * 20])),
    st.one_of(st.just(""), _EXPONENT),
)
_TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.sampled_from(["v1.0", "1.0", "2e5"]),
)
_JSON = st.recursive(
    st.one_of(st.just("null"), st.just("true"), _NUMBER, _TEXT.map(json.dumps)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[" + ",".join(items) + "]"),
        st.dictionaries(_TEXT, inner, max_size=3).map(
            lambda items: "{" + ",".join(f"{json.dumps(k)}: {v}" for k, v in items.items()) + "}"
        ),
    ),
    max_leaves=6,
)


@given(_JSON)
def test_skipping_the_number_rule_never_changes_a_key(inner: str) -> None:
    """Where `has_floats` says no, the short way gives the same bytes as the long one."""
    raw = f'{{"a":{inner}}}'.encode()
    value = parse(raw)
    if not has_floats(raw):
        assert encode(value, floats=False) == encode(value)


@pytest.mark.parametrize(
    "raw",
    [b"1.0", b"[1.00]", b"1e5", b"1E5", b"1.5e1", b"-0.0", b"1.0}", b"0.99999999999999999999"],
)
def test_a_number_that_equals_an_integer_is_suspected(raw: bytes) -> None:
    """Each form in which a whole number can hide is seen."""
    assert has_floats(raw)


@pytest.mark.parametrize("raw", [b'{"temperature":0.7}', b'{"n":1}', b'{"a":"one. two"}', b"{}"])
def test_usual_bodies_take_the_short_way(raw: bytes) -> None:
    """A plain fraction or a sentence does not cost the walk over the body."""
    assert not has_floats(raw)


@given(_JSON)
def test_the_canonical_form_means_the_same(inner: str) -> None:
    """Reading the canonical bytes gives the request back, and encoding them again nothing new."""
    value = parse(f'{{"a":{inner}}}'.encode())
    again = parse(encode(value))
    assert again == value
    assert encode(again) == encode(value)


def test_a_digest_knows_where_its_parts_end() -> None:
    """Moving a byte from one part to the next gives another digest."""
    seen = {digest(b"ab", b"c"), digest(b"a", b"bc"), digest(b"abc"), digest(b"abc", b"")}
    assert len(seen) == 4
    assert {len(one) for one in seen} == {32}
