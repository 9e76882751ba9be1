"""Two outcomes of one client, compared field by field. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Padding that a vendor draws anew for every stream; a replay has none.
_PADDING = "obfuscation"
# What tells a streamed answer from a whole one, by its form alone, or by what a client adds to it.
_FORM = frozenset({"object", "role", "parsed", "parsed_arguments"})
_SHOWN = 80


def differences(expected: Any, got: Any, *, same_form: bool = True) -> list[str]:
    """Every field in which two outcomes differ.

    Where only one form of an answer is recorded, the other is compared with it less what a form
    alone brings: fields that are empty in one and absent in the other, the name of the form, the
    places of tool calls, and the role, which is always the assistant's.
    """
    if not same_form:
        expected, got = bare(_essence(expected)), bare(_essence(got))
    return list(_different(expected, got, ""))


def _essence(outcome: Any) -> Any:
    """What a client shows alike of both forms, where it says so itself."""
    answer = outcome.get("answer") if isinstance(outcome, dict) else None
    return answer["essence"] if isinstance(answer, dict) and "essence" in answer else outcome


def bare(value: Any) -> Any:
    """A value without what is empty and without what names its form."""
    if isinstance(value, dict):
        calls = [_placeless(one) for one in value.get("tool_calls") or ()]
        value = value | ({"tool_calls": calls} if calls else {})
        kept = {key: bare(one) for key, one in value.items() if key not in _FORM | {_PADDING}}
        return {key: one for key, one in kept.items() if one not in (None, [], {}, "")}
    return [bare(one) for one in value] if isinstance(value, list) else value


def _placeless(call: Any) -> Any:
    return {k: v for k, v in call.items() if k != "index"} if isinstance(call, dict) else call


def _different(expected: Any, got: Any, path: str) -> Iterator[str]:
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in sorted((expected.keys() | got.keys()) - {_PADDING}):
            at = f"{path}.{key}" if path else key
            if key not in got:
                yield f"{at}: {_short(expected[key])} is missing"
            elif key not in expected:
                yield f"{at}: {_short(got[key])} is too much"
            else:
                yield from _different(expected[key], got[key], at)
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            yield from _different(one, other, f"{path}[{index}]")
    elif type(expected) is not type(got) or expected != got:
        yield f"{path}: {_short(expected)} expected, {_short(got)} got"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
