"""What a caller asks of the cache: Cache-Control (RFC 9111 §5.2.1), x-likewise-*, LiteLLM's field.

Pure. Unreadable cache directives are ignored, as the RFC says; our own headers are strict.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from policies.amounts import duration
from policies.values import Directives, Reach

if TYPE_CHECKING:
    from collections.abc import Mapping

_DIRECTIVE = re.compile(r'([A-Za-z0-9_-]+)(?:\s*=\s*("[^"]*"|[^\s,;"]*))?')
_NUMBER = re.compile(r"[ \t]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
_TAG = re.compile(r"[\w.:/@-]{1,64}")
_MOST_TAGS = 16
_LONGEST = 2**31  # what a delta-seconds beyond it counts as (RFC 9111 §1.2.2)

NONE = Directives()


class BadDirective(ValueError):
    """A header of ours with a value that is not allowed; `param` is the header or field."""

    def __init__(self, param: str, message: str) -> None:
        super().__init__(f"{param}: {message}")
        self.param = param


def read(cache_control: str, ours: Mapping[str, str]) -> Directives:
    """Directives of the request's headers; `ours` holds the x-likewise-* ones by full name."""
    made = _cache_control(cache_control) if cache_control else NONE
    return _ours(made, ours) if ours else made


def with_field(asked: Directives, field: Any) -> Directives:
    """LiteLLM's body field `cache: {ttl, s-maxage, no-cache, no-store, namespace}` on top."""
    if not isinstance(field, dict):
        raise BadDirective("cache", f"must be an object, got {field!r:.40}")
    namespace = field.get("namespace")
    if namespace is not None and not isinstance(namespace, str):
        raise BadDirective("cache.namespace", f"must be text, got {namespace!r:.40}")
    return replace(
        asked,
        no_cache=asked.no_cache or field.get("no-cache") is True,
        no_store=asked.no_store or field.get("no-store") is True,
        ttl=_seconds(field.get("ttl"), "cache.ttl", asked.ttl),
        max_age=_seconds(
            field.get("s-maxage", field.get("s-max-age")), "cache.s-maxage", asked.max_age
        ),
        namespace=namespace if namespace is not None else asked.namespace,
    )


def _cache_control(value: str) -> Directives:
    # Backwards, so that the first of two equal directives rules (RFC 9111 §4.2.1).
    given = {name.lower(): text.strip('"') for name, text in reversed(_DIRECTIVE.findall(value))}
    max_stale = given.get("max-stale")
    return Directives(
        no_cache="no-cache" in given,
        no_store="no-store" in given,
        only_if_cached="only-if-cached" in given,
        max_age=_delta(given.get("max-age")),
        min_fresh=_delta(given.get("min-fresh")),
        max_stale=math.inf if max_stale == "" else _delta(max_stale),
        stale_if_error=_delta(given.get("stale-if-error")),
    )


def _delta(text: str | None) -> float | None:
    if not text or not (text.isascii() and text.isdigit()):
        return None
    return float(min(int(text), _LONGEST)) if len(text) < 20 else float(_LONGEST)  # noqa: PLR2004 - cheap to read


def _ours(made: Directives, ours: Mapping[str, str]) -> Directives:
    reach = made.reach
    mode = ours.get("x-likewise-mode")
    if mode is not None:
        try:
            reach = Reach(mode.strip().lower())
        except ValueError:
            allowed = ", ".join(Reach)
            raise BadDirective(
                "x-likewise-mode", f"must be one of {allowed}, got {mode!r:.40}"
            ) from None
    return replace(
        made,
        reach=reach,
        category=ours.get("x-likewise-category", "").strip() or None,
        threshold=_threshold(ours.get("x-likewise-threshold")),
        ttl=_seconds(ours.get("x-likewise-ttl"), "x-likewise-ttl", made.ttl),
        tags=_tags(ours.get("x-likewise-tags", "")),
        session=ours.get("x-likewise-session") or None,
    )


def _threshold(text: str | None) -> float | None:
    if text is None:
        return None
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not 0 <= value <= 1:
        raise BadDirective(
            "x-likewise-threshold", f"must be a number from 0 to 1, got {text!r:.40}"
        )
    return value


def _seconds(given: Any, name: str, otherwise: float | None) -> float | None:
    if given is None:
        return otherwise
    try:
        value = duration(given)
    except ValueError as fault:
        raise BadDirective(name, str(fault)) from None
    return value


def _tags(text: str) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))
    if len(tags) > _MOST_TAGS or not all(_TAG.fullmatch(tag) for tag in tags):
        raise BadDirective(
            "x-likewise-tags",
            f"must be at most {_MOST_TAGS} tags of 1 to 64 letters, digits or . _ : / @ -, "
            f"parted by commas, got {text!r:.60}",
        )
    return tags
