"""What callers may ask of the cache, in its three languages, well and badly written."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.values import Directives, Reach
from proxy.directives import BadDirective, read, with_field


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("", {}),
        ("no-cache", {"no_cache": True}),
        ("No-Store", {"no_store": True}),
        ("only-if-cached", {"only_if_cached": True}),
        ("max-age=60", {"max_age": 60.0}),
        ("max-age=0", {"max_age": 0.0}),
        ("max-age = 60", {"max_age": 60.0}),
        ('max-age="60"', {"max_age": 60.0}),
        ("min-fresh=5,max-age=60", {"min_fresh": 5.0, "max_age": 60.0}),
        ("max-stale", {"max_stale": math.inf}),
        ("max-stale=30", {"max_stale": 30.0}),
        ("stale-if-error=600", {"stale_if_error": 600.0}),
        ("no-cache, no-store", {"no_cache": True, "no_store": True}),
        ("no-cache;no-store", {"no_cache": True, "no_store": True}),
        # Garbage is ignored, what stands beside it is not.
        ('max-age=abc, no-cache="x", ,,', {"no_cache": True}),
        ("max-age", {}),
        ("max-age=-1", {}),
        ("max-age=1.5", {}),
        ("max-age=5s", {}),
        ("max-age=\u0663", {}),
        ("max-stale=abc", {}),
        ("no-transform, foo=bar, public", {}),
        ("no_cache, nocache, xno-store", {}),
        ('foo="no-store, no-cache"', {}),
        ("foo=no-store", {}),
        ('foo="unfinished, no-store', {"no_store": True}),
        (",;=\"'", {}),
        # RFC 9111: the first of two rules (§4.2.1), more than 2^31 counts as 2^31 (§1.2.2).
        ("max-age=5, max-age=10", {"max_age": 5.0}),
        ("min-fresh=99999999999999", {"min_fresh": 2.0**31}),
        ("max-stale=" + "9" * 5_000, {"max_stale": 2.0**31}),
        ("foo=1, " * 2_000 + "no-store", {"no_store": True}),
    ],
)
def test_cache_control_is_read_as_the_rfc_says(value: str, expected: dict[str, Any]) -> None:
    """Every directive is understood or ignored; none makes a request fail."""
    assert read(value, {}) == Directives(**expected)


@given(st.text(max_size=200))
def test_no_cache_control_can_break_a_request(value: str) -> None:
    """Whatever the header holds, amounts are at least zero and nothing is raised."""
    asked = read(value, {})
    amounts = (asked.max_age, asked.min_fresh, asked.max_stale, asked.stale_if_error)
    assert all(amount is None or amount >= 0 for amount in amounts)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"x-likewise-mode": "exact"}, {"reach": Reach.EXACT}),
        ({"x-likewise-mode": " Shadow "}, {"reach": Reach.SHADOW}),
        ({"x-likewise-mode": "off"}, {"reach": Reach.OFF}),
        ({"x-likewise-mode": "semantic"}, {}),
        ({"x-likewise-category": " code "}, {"category": "code"}),
        ({"x-likewise-category": " "}, {}),
        ({"x-likewise-threshold": "0.93"}, {"threshold": 0.93}),
        ({"x-likewise-threshold": "0"}, {"threshold": 0.0}),
        ({"x-likewise-threshold": "1.0"}, {"threshold": 1.0}),
        ({"x-likewise-threshold": " .5 "}, {"threshold": 0.5}),
        ({"x-likewise-ttl": "5m"}, {"ttl": 300.0}),
        ({"x-likewise-ttl": "90"}, {"ttl": 90.0}),
        ({"x-likewise-ttl": "0"}, {"ttl": 0.0}),
        ({"x-likewise-tags": "a, b,,a"}, {"tags": ("a", "b")}),
        ({"x-likewise-tags": "team/x:1.2@y_z-0"}, {"tags": ("team/x:1.2@y_z-0",)}),
        ({"x-likewise-tags": ""}, {}),
        ({"x-likewise-session": "s-1"}, {"session": "s-1"}),
        ({"x-likewise-session": ""}, {}),
        ({"x-likewise-unknown": "1"}, {}),
    ],
)
def test_our_headers_are_understood(headers: dict[str, str], expected: dict[str, Any]) -> None:
    """Each header sets its own directive and no other; zero is a value."""
    assert read("", headers) == Directives(**expected)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("x-likewise-mode", ["", "on", "exact, off", "semantic\x00"]),
        ("x-likewise-threshold", ["", "high", "-0.1", "1.01", "93", "nan", "inf", "0,9", "0_1"]),
        ("x-likewise-threshold", ["0.9.1", "1e", "0x1", "\u0660.\u0669", "\x1e0", "\x850"]),
        ("x-likewise-ttl", ["", "soon", "-5", "5 weeks", "nan", "1e9", "36501d", "5m5s"]),
        ("x-likewise-tags", ["a b", "x" * 65, ",".join(map(str, range(17))), "a,<b>", "a\nb"]),
    ],
)
def test_a_bad_header_of_ours_is_refused_by_name(name: str, values: list[str]) -> None:
    """A value that is not allowed is an error that names the header, never silently ignored."""
    for value in values:
        with pytest.raises(BadDirective) as caught:
            read("", {name: value})
        assert caught.value.param == name
        assert str(caught.value).startswith(f"{name}: ")


def test_both_kinds_of_header_add_up() -> None:
    """Cache-Control and our headers rule together."""
    asked = read("max-age=60, no-cache", {"x-likewise-ttl": "1h", "x-likewise-tags": "a"})
    assert asked == Directives(no_cache=True, max_age=60.0, ttl=3600.0, tags=("a",))


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ({}, {}),
        ({"ttl": 300}, {"ttl": 300.0}),
        ({"ttl": 0}, {"ttl": 0.0}),
        ({"ttl": "5m"}, {"ttl": 300.0}),
        ({"s-maxage": 600}, {"max_age": 600.0}),
        ({"s-max-age": 600}, {"max_age": 600.0}),
        ({"no-cache": True}, {"no_cache": True}),
        ({"no-store": True, "no-cache": False}, {"no_store": True}),
        # LiteLLM acts on a true boolean only.
        ({"no-cache": "true", "no-store": 1}, {}),
        ({"namespace": "team-a"}, {"namespace": "team-a"}),
        ({"ttl": None, "s-maxage": None, "namespace": None}, {}),
        ({"use-cache": True, "unknown": [1]}, {}),
    ],
)
def test_litellms_field_is_understood(field: dict[str, Any], expected: dict[str, Any]) -> None:
    """Its controls mean what they mean in LiteLLM; unknown ones are left alone."""
    assert with_field(Directives(), field) == Directives(**expected)


@pytest.mark.parametrize(
    ("field", "param"),
    [
        (None, "cache"),
        (True, "cache"),
        ("no-cache", "cache"),
        ([], "cache"),
        ({"ttl": "soon"}, "cache.ttl"),
        ({"ttl": -1}, "cache.ttl"),
        ({"ttl": True}, "cache.ttl"),
        ({"ttl": [60]}, "cache.ttl"),
        ({"s-maxage": "x"}, "cache.s-maxage"),
        ({"s-max-age": {}}, "cache.s-maxage"),
        ({"namespace": 7}, "cache.namespace"),
    ],
)
def test_a_bad_litellm_field_is_refused_by_name(field: Any, param: str) -> None:
    """Wrong types are told with the place where they stand."""
    with pytest.raises(BadDirective) as caught:
        with_field(Directives(), field)
    assert caught.value.param == param


def test_the_field_adds_to_the_headers() -> None:
    """What the headers forbade stays forbidden; what the field sets wins."""
    headers = Directives(no_store=True, ttl=60.0, max_age=5.0, category="code", tags=("a",))
    made = with_field(headers, {"no-store": False, "ttl": 10, "namespace": "n"})
    assert made == Directives(
        no_store=True, ttl=10.0, max_age=5.0, category="code", tags=("a",), namespace="n"
    )
