"""The vocabulary with which every part of a configuration is checked.

`Section` is a mapping of known keys; amounts are marks for pydantic; `parse` turns pydantic's
complaints into plain words with a place.
"""

from __future__ import annotations

import difflib
import re
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union, get_args, get_origin

import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from policies import amounts
from policies.errors import PolicyError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from policies.document import Document, Path

M = TypeVar("M", bound="BaseModel")
SHOWN = 40


class Fault(ValueError):
    """A complaint whose words already hold what was found; `at` leads on from the value's path."""

    def __init__(self, message: str, *at: str | int) -> None:
        super().__init__(message)
        self.at = at


class Section(BaseModel):
    """A mapping of known keys. A key without a value counts as not written."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )

    @model_validator(mode="before")
    @classmethod
    def _unwritten(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: v for k, v in value.items() if v is not None or k not in cls.model_fields}


def number(low: float, high: float, *, whole: bool = False) -> tuple[Any, Any]:
    """The two `Annotated` marks of a number from `low` to `high`, both included."""
    kind = "a whole number" if whole else "a number"

    def check(value: Any) -> Any:
        right = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
        if not right or not low <= value <= high:
            raise ValueError(f"must be {kind} from {low:,} to {high:,}")
        return value if whole else float(value)

    schema = {"type": "integer" if whole else "number", "minimum": low, "maximum": high}
    return BeforeValidator(check), WithJsonSchema(schema)


def amount(check: Callable[[Any], Any], pattern: str, **bounds: float) -> tuple[Any, Any]:
    schema = {"anyOf": [{"type": "string", "pattern": f"^{pattern}$"}, {"type": "number"} | bounds]}
    return BeforeValidator(check), WithJsonSchema(schema)


def some_time(value: Any) -> float:
    seconds = amounts.duration(value)
    if not seconds:
        raise ValueError("must be a duration longer than zero, such as 5s")
    return seconds


def _some_bytes(value: Any) -> int:
    amount = amounts.size(value)
    if not amount:
        raise ValueError("must be a size above zero, such as 1MB")
    return amount


def _word(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    return value


def _pattern(value: str) -> str:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(value, options)
    except re2.error as error:
        said = error.args[0] if error.args else b"refused"
        text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        raise Fault(
            f"not a pattern that RE2 accepts ({text}); look-around and back references do not exist"
        ) from None
    return value


Duration = Annotated[float, *amount(amounts.duration, amounts.DURATION, minimum=0)]
SomeTime = Annotated[float, *amount(some_time, amounts.DURATION, exclusiveMinimum=0)]
SomeBytes = Annotated[int, *amount(_some_bytes, amounts.SIZE, exclusiveMinimum=0)]
Fraction = Annotated[float, *amount(amounts.share, amounts.SHARE, minimum=0, maximum=1)]
Unit = Annotated[float, *number(0, 1)]
Word = Annotated[str, AfterValidator(_word)]
Pattern = Annotated[str, AfterValidator(_word), AfterValidator(_pattern)]


def parse(model: type[M], document: Document, value: Any = None) -> M:
    """`document` as `model`; `value` stands for its value where that has been prepared.

    Raises `PolicyError` with every problem. What is shown of a wrong value is what the document
    says, never what was put in its place.
    """
    value = document.value if value is None else value
    try:
        return model.model_validate({} if value is None else value)
    except ValidationError as error:
        found = [_problem(model, document, details) for details in error.errors()]
    raise PolicyError(sorted(found, key=lambda problem: problem.line))


def _problem(model: type[BaseModel], document: Document, details: Any) -> Problem:
    kind: str = details["type"]
    path: Path = tuple(step for step in details["loc"] if step != "[key]")
    fault = details.get("ctx", {}).get("error")
    if kind == "extra_forbidden":
        return document.problem(path, _unknown(model, path))
    if kind == "missing":
        return document.problem(path, "is missing; add it here")
    if isinstance(fault, Fault):
        return document.problem(path + fault.at, str(fault))
    path = path[: next((n for n in range(len(path), 0, -1) if path[:n] in document.lines), 0)]
    if kind == "model_type":
        said = f"must be a mapping of {', '.join(sorted(_keys(model, path)))}"
    else:
        said = str(fault) if fault else _in_words(kind, details)
    return document.problem(path, f"{said}, got {show(document.at(path))}")


def _in_words(kind: str, details: Any) -> str:
    if kind == "literal_error":
        allowed = [word.strip("'") for word in re.split(", | or ", details["ctx"]["expected"])]
        return f"must be one of {', '.join(allowed)}" if allowed[1:] else f"must be {allowed[0]}"
    return {
        "string_type": "must be text (put it in quotes)",
        "bool_type": "must be true or false",
        "list_type": "must be a list, such as [a, b]",
        "dict_type": "must be a mapping of names to values",
        "too_short": "must not be an empty list",
    }.get(kind) or str(details["msg"]).lower()


def _unknown(model: type[BaseModel], path: Path) -> str:
    allowed = sorted(_keys(model, path[:-1]))
    near = difflib.get_close_matches(str(path[-1]), allowed, 1)
    hint = f"did you mean `{near[0]}`? " if near else ""
    return f"unknown key; {hint}allowed here: {', '.join(allowed)}"


def _keys(model: type[BaseModel], path: Path) -> Iterable[str]:
    """The keys of the section that `path` leads to."""
    here: Any = model
    for step in path:
        here = _inner(here)
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = here.model_fields[str(step)].annotation
        else:
            here = get_args(here)[-1]
    here = _inner(here)
    return here.model_fields if isinstance(here, type) and issubclass(here, BaseModel) else ()


def _inner(kind: Any) -> Any:
    """An annotation without `Annotated` and without `| None`."""
    while get_origin(kind) in (Annotated, Union, UnionType):
        kind = get_args(kind)[0]
    return kind


def show(value: Any) -> str:
    """A wrong value, as short as will do."""
    if value in ([], {}):
        return f"an empty {'list' if isinstance(value, list) else 'mapping'}"
    if isinstance(value, dict | list):
        return "a list" if isinstance(value, list) else "a mapping"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
