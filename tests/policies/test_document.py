"""YAML in, plain values with lines out; what a configuration must not hold is refused."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.document import MAX_BYTES, dotted, read
from policies.errors import PolicyError


def refusal(text: str) -> str:
    with pytest.raises(PolicyError) as caught:
        read(text, "f")
    return str(caught.value)


def test_values_and_lines() -> None:
    """Every key and list item knows the line where it stands."""
    text = "a: 1\nb:\n  - x\n  - c: 2.5\n    d: true\n# remark\n'e f': ~\n"
    document = read(text, "f")
    assert document.value == {"a": 1, "b": ["x", {"c": 2.5, "d": True}], "e f": None}
    assert document.lines == {
        (): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4,
        ("b", 1, "d"): 5, ("e f",): 7,
    }  # fmt: skip
    assert document.line(("b", 1, "missing", 3)) == 4
    assert document.at(("b", 1, "c")) == 2.5
    assert document.at(("b", 7, "c")) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("off", "off"), ("yes", "yes"), ("No", "No"), ("on", "on"), ("true", True),
        ("FALSE", False), ("null", None), ("12", 12), ("-3", -3), ("012", 12), ("1.50", 1.5),
        ("1e3", 1000.0), (".5", 0.5), ("12:30", "12:30"), ("0x10", "0x10"), (".nan", ".nan"),
        ("2024-01-01", "2024-01-01"), ("1_000", "1_000"), ("'12'", "12"), ("40%", "40%"),
        ("<<", "<<"), ("=", "="), ("${VAR}", "${VAR}"),
    ],
)  # fmt: skip
def test_scalars_are_yaml_1_2(text: str, value: object) -> None:
    """Plain scalars mean what YAML 1.2's core schema says (https://yaml.org/spec/1.2.2/#103)."""
    found = read(f"a: {text}", "f").value["a"]
    assert (type(found), found) == (type(value), value)


def test_keys_are_their_own_text() -> None:
    """`on`, `404` and `null` name keys; they are not a boolean, a number and nothing."""
    assert read("on: 1\n404: 2\nnull: 3\n", "f").value == {"on": 1, "404": 2, "null": 3}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "f:3: a: written twice (first in line 1); keep one"),
        ("a: {b: 1, b: 2}", "f:1: a.b: written twice (first in line 1); keep one"),
        ("a: &x 1", "f:1: anchors (&) and aliases (*) are not allowed"),
        ("a: 1\nb: *x", "f:2: anchors (&) and aliases (*) are not allowed"),
        ("a:\n  !!python/name:os.system x", "f:2: the tag !!python/name:os.system is not allowed"),
        ("a: !include x", "f:1: the tag !include is not allowed"),
        ("a: 1\n---\nb: 2", "f:2: not valid YAML: more than one document"),
        ("a:\n\tb: 1", "f:2: not valid YAML: a tab cannot be used for indentation; use spaces"),
        ("a: [1", "f:1: not valid YAML: "),
        ("a: 1\n b: 2", "f:2: not valid YAML: "),
        ("a: \x00", "f:1: the character U+0000 is not allowed in YAML"),
        ("a: \ud800", "f:1: the character U+D800 is not allowed in YAML"),
        ("? [a]\n: 1", "f:1: a key must be a plain word"),
        ("a: " + "9" * 5000, "f:1: a: a number of more than 40 characters"),
        ("a: " + "[" * 50_000, "f:1: nested deeper than 20 levels"),
        ("- " * 50_000, "f:1: nested deeper than 20 levels"),
        ("a: '" + "x" * MAX_BYTES + "'", "f: larger than 1 MB; a policy must be smaller"),
    ],
    ids=lambda value: value[:20].encode("unicode_escape").decode(),
)
def test_refused(text: str, said: str) -> None:
    """Each refusal names its line and says why, in one line."""
    found = refusal(text)
    assert found.startswith(said)
    assert "\n" not in found


def test_all_duplicates_are_told() -> None:
    """One reading tells every key that is written twice."""
    assert refusal("a: 1\na: 2\nb: {c: 1, c: 2}").count("written twice") == 2


def test_section_text() -> None:
    """A section's text runs from its key to the next top-level key."""
    document = read("# head\na: 1\npolicy:\n  x: 1\n\n  y: 2\nz: 3\n", "f")
    assert document.section("policy") == "policy:\n  x: 1\n\n  y: 2"
    assert document.section("z") == "z: 3"
    assert document.section("absent") == ""


def test_an_empty_text_is_nothing() -> None:
    """Nothing, or remarks only, is a document without a value."""
    assert read("", "f").value is None
    assert read("# remark\n", "f").value is None


def test_dotted() -> None:
    """Paths read as people write them, on one line whatever the key holds."""
    assert dotted(("upstreams", 0, "name")) == "upstreams[0].name"
    assert dotted(("a", "b\nc", "")) == r"a.'b\nc'.''"


_TEXT = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(_JSON)
def test_json_is_read_as_json(value: object) -> None:
    """JSON is YAML: what the standard library writes comes back as it was."""
    assert read(json.dumps(value), "f").value == value


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@,? \n\t0.~<", max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    """No text raises anything but a PolicyError."""
    with suppress(PolicyError):
        read(text, "f")
