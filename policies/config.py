"""The `policy:` and `prices:` parts of a configuration: read, checked, every default filled in.

Also the vocabulary that every other part of the file is checked with: `Section`, amounts, and
`problems`, which turns pydantic's complaints into plain words with a place. No file is opened here.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import re2
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from policies import amounts
from policies.document import Document, read
from policies.errors import PolicyError, Problem
from policies.values import (
    CategoryRules,
    Collapse,
    ContextMode,
    Overrides,
    Replay,
    Rules,
    Share,
    Threshold,
)
from policies.verdicts import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from policies.document import Path
    from policies.values import ContextRules

M = TypeVar("M", bound="BaseModel")
DEFAULT = "default"
GUARDS = tuple(r.removeprefix("guard-") for r in Reason if r.startswith("guard-"))
NAME = r"[a-z0-9_-]{1,40}"
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


def _amount(check: Callable[[Any], Any], pattern: str, **bounds: float) -> tuple[Any, Any]:
    schema = {"anyOf": [{"type": "string", "pattern": f"^{pattern}$"}, {"type": "number"} | bounds]}
    return BeforeValidator(check), WithJsonSchema(schema)


def _some_time(value: Any) -> float:
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


def _guard(value: str) -> str:
    if value not in GUARDS:
        raise ValueError(f"must be one of {', '.join(GUARDS)}")
    return value


def _bound(value: Any) -> float:
    bound = amounts.share(value)
    if bound == 0:
        raise Fault(
            "a bound of 0 can never be shown to hold, so nothing would be answered by meaning; "
            "use a share above 0% such as 1%, or a fixed threshold of 1.0"
        )
    if bound == 1:
        raise Fault(
            "a bound of 100% allows every answer to be wrong; use a share below 100% such as 2%"
        )
    return bound


def _category_name(value: str) -> str:
    if value == DEFAULT:
        raise Fault(f"the name `{DEFAULT}` stands for `defaults:`; choose another name")
    if not re.fullmatch(NAME, value):
        raise Fault("a category name is 1 to 40 of a-z, 0-9, _ and -")
    return value


Duration = Annotated[float, *_amount(amounts.duration, amounts.DURATION, minimum=0)]
SomeTime = Annotated[float, *_amount(_some_time, amounts.DURATION, exclusiveMinimum=0)]
SomeBytes = Annotated[int, *_amount(_some_bytes, amounts.SIZE, exclusiveMinimum=0)]
Fraction = Annotated[float, *_amount(amounts.share, amounts.SHARE, minimum=0, maximum=1)]
Bound = Annotated[float, *_amount(_bound, amounts.SHARE, exclusiveMinimum=0, exclusiveMaximum=1)]
Unit = Annotated[float, *number(0, 1)]
Word = Annotated[str, AfterValidator(_word)]
Pattern = Annotated[str, AfterValidator(_word), AfterValidator(_pattern)]
Guard = Annotated[str, AfterValidator(_guard), WithJsonSchema({"enum": list(GUARDS)})]
CategoryName = Annotated[str, AfterValidator(_category_name)]


class ThresholdPart(Section):
    max_false_hits: Bound | None = None
    start: Unit | None = None


def _threshold(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A plain number is a fixed cut; it does not inherit a bound."""
    if isinstance(value, dict):
        return handler(value)
    try:
        start = amounts.unit(value)
    except ValueError:
        said = (
            "must be a number from 0 to 1, or a mapping such as {max_false_hits: 2%, start: 0.95}"
        )
        raise ValueError(said) from None
    return ThresholdPart.model_construct(
        {"max_false_hits", "start"}, max_false_hits=None, start=start
    )


class ContextPart(Section):
    mode: Literal["off", "exact", "meaning"] | None = None
    threshold: Unit | None = None
    """How close each earlier user turn must be, cosine."""
    max_turns: Annotated[int, *number(0, 1000, whole=True)] | None = None
    """A conversation with more earlier turns is matched exactly only."""


class DefaultsPart(Section):
    threshold: (
        Annotated[
            ThresholdPart,
            WrapValidator(_threshold),
            WithJsonSchema(
                {
                    "anyOf": [
                        {"type": "number", "minimum": 0, "maximum": 1},
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "max_false_hits": {"type": ["string", "number"]},
                                "start": {"type": "number", "minimum": 0, "maximum": 1},
                            },
                        },
                    ]
                }
            ),
        ]
        | None
    ) = None
    """A fixed cosine, or {max_false_hits: 2%, start: 0.95}."""
    ttl: Duration | None = None
    stale_while_revalidate: Duration | None = None
    stale_if_error: Duration | None = None
    context: ContextPart | None = None
    guards: list[Guard] | None = None


class CategoryPart(DefaultsPart):
    cache: bool | None = None
    """false: never answered from memory, never stored."""
    quota: Fraction | None = None
    max_temperature: Annotated[float, *number(0, 2)] | None = None
    share: Literal["user", "key", "tenant", "everyone"] | None = None
    strict: bool | None = None
    """Never loosened under load."""
    examples: list[Word] | None = None
    keywords: list[Word] | None = None
    patterns: list[Pattern] | None = None
    models: list[Word] | None = None
    """Model names, `*` stands for anything."""


def _pair(values: list[float]) -> list[float]:
    if len(values) != 2:  # noqa: PLR2004 - lower and upper
        raise ValueError("must be two values, [lowest, highest]")
    if values[0] > values[1]:
        raise Fault("the first value is above the second; write [lowest, highest]")
    return values


class OverridesPart(Section):
    threshold: Annotated[list[Unit], AfterValidator(_pair)] | None = None
    ttl: Annotated[list[Duration], AfterValidator(_pair)] | None = None


class LoadPart(Section):
    signal: Literal["upstream_latency_p95"] = "upstream_latency_p95"
    low: SomeTime = 2.0
    high: Annotated[SomeTime, Field(validate_default=True)] = 8.0
    max_threshold_drop: Unit = 0.03
    max_ttl_factor: Annotated[float, *number(1, 1000)] = 2.0

    @field_validator("high")
    @classmethod
    def _above_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low")
        if low is not None and high <= low:
            raise Fault(f"must be above `low`, which is {low:g}s; got {high:g}s")
        return high


class PolicyPart(Section):
    mode: Literal["serve", "shadow"] | None = None
    share: Literal["user", "key", "tenant", "everyone"] | None = None
    """Who may be answered from whose entries."""
    max_temperature: Annotated[float, *number(0, 2)] | None = None
    """A hotter request is neither answered from memory nor stored."""
    judge: Literal["text", "embedding", "llm"] | None = None
    audits: Fraction | None = None
    """Share of would-be semantic hits that are forwarded and compared."""
    collapse: Literal["off", "exact", "meaning"] | None = None
    """Which requests wait for an equal one that is under way."""
    replay: Literal["fast", "original"] | None = None
    """At what pace a remembered stream is sent."""
    regenerate: Duration | None = None
    """An equal request this soon after its answer asks upstream afresh; 0s: it never does."""
    stateful: Literal["serve", "bypass"] | None = None
    """What to do with answers that the vendor keeps under an id (Responses with `store`)."""
    overrides: OverridesPart = OverridesPart()
    """Bounds inside which a request's own headers may move threshold and TTL."""
    defaults: DefaultsPart = DefaultsPart()
    categories: dict[CategoryName, CategoryPart | None] = Field(default={})
    load: LoadPart | None = None

    @field_validator("categories")
    @classmethod
    def _quotas(cls, parts: dict[str, CategoryPart | None]) -> dict[str, CategoryPart | None]:
        quotas = {n: p.quota for n, p in parts.items() if p is not None and p.quota is not None}
        total = sum(quotas.values())
        if total > 1 + 1e-9:
            listed = ", ".join(f"{name} {quota:.0%}" for name, quota in quotas.items())
            raise Fault(f"the quotas add up to {total:.0%} ({listed}); at most 100% in all")
        return parts


class PricePart(Section):
    """US dollars per million tokens."""

    input: Annotated[float, *number(0, 1_000_000)]
    output: Annotated[float, *number(0, 1_000_000)] = 0.0


class PolicyFile(Section):
    """The two parts that make `Rules`; what else the file holds is not looked at."""

    model_config = ConfigDict(extra="ignore")

    policy: PolicyPart = PolicyPart()
    prices: dict[Word, PricePart] = Field(default={})


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


@cache
def builtin() -> Document:
    """The shipped defaults.yaml: package data, as constant as the code beside it."""
    text = resources.files("policies").joinpath("defaults.yaml").read_text("utf-8")
    return read(text, "defaults.yaml")


def read_policy(document: Document) -> Rules:
    """The rules of a whole configuration file, or of one that holds `policy:` alone.

    Raises `PolicyError` with every problem of the two parts. `version` changes with the text.
    """
    shipped = parse(PolicyFile, builtin())
    written = parse(PolicyFile, document)
    said = f"{builtin().text}\0{document.section('policy')}"
    defaults = _over(_over(_blank(), shipped.policy.defaults), written.policy.defaults)
    for part in (shipped.policy, written.policy):
        defaults = _over_policy(defaults, part)
    return Rules(
        defaults=defaults,
        categories=tuple(_categories(shipped.policy, written.policy, defaults)),
        shadow=_last("mode", "serve", shipped, written) == "shadow",
        collapse=Collapse(_last("collapse", "exact", shipped, written)),
        replay=Replay(_last("replay", "fast", shipped, written)),
        regenerate=_last("regenerate", 0.0, shipped, written),
        stateful=_last("stateful", "serve", shipped, written) == "serve",
        overrides=_overrides(written.policy.overrides),
        prices=_prices(shipped.prices) | _prices(written.prices),
        version=hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12],
    )


def _last(key: str, otherwise: Any, *files: PolicyFile) -> Any:
    """The value that the last file writes under `policy:`, else `otherwise`."""
    said = [value for file in files if (value := getattr(file.policy, key)) is not None]
    return said[-1] if said else otherwise


def _blank() -> CategoryRules:
    return CategoryRules(name=DEFAULT, threshold=Threshold(start=1.0), ttl=0.0)


def _over_policy(defaults: CategoryRules, part: PolicyPart) -> CategoryRules:
    return replace(
        defaults,
        share=Share(part.share) if part.share else defaults.share,
        max_temperature=(
            defaults.max_temperature if part.max_temperature is None else part.max_temperature
        ),
    )


def _categories(
    shipped: PolicyPart, written: PolicyPart, defaults: CategoryRules
) -> Iterable[CategoryRules]:
    """The user's own in their order, then the shipped ones that the user did not name."""
    parts = written.categories | {
        name: part for name, part in shipped.categories.items() if name not in written.categories
    }
    for name, part in parts.items():
        if part is not None:
            yield replace(_over(defaults, part), name=name)


def _over(under: CategoryRules, part: DefaultsPart) -> CategoryRules:
    """`under` with what is written in `part` laid over it."""
    new: dict[str, Any] = {}
    for key in part.model_fields_set - {"threshold", "context", "share"}:
        value = getattr(part, key)
        new[key] = tuple(value) if isinstance(value, list) else value
    if part.threshold is not None:
        new["threshold"] = _over_threshold(under.threshold, part.threshold)
    if part.context is not None:
        new["context"] = _over_context(under.context, part.context)
    if isinstance(part, CategoryPart) and part.share is not None:
        new["share"] = Share(part.share)
    return replace(under, **new)


def _over_threshold(under: Threshold, part: ThresholdPart) -> Threshold:
    written = part.model_fields_set
    return Threshold(
        start=under.start if part.start is None else part.start,
        max_false_hits=part.max_false_hits if "max_false_hits" in written else under.max_false_hits,
    )


def _over_context(under: ContextRules, part: ContextPart) -> ContextRules:
    return replace(
        under,
        mode=ContextMode(part.mode) if part.mode else under.mode,
        threshold=under.threshold if part.threshold is None else part.threshold,
        max_turns=under.max_turns if part.max_turns is None else part.max_turns,
    )


def _overrides(part: OverridesPart) -> Overrides:
    bounds = Overrides()
    if part.threshold is not None:
        bounds = replace(bounds, threshold=(part.threshold[0], part.threshold[1]))
    if part.ttl is not None:
        bounds = replace(bounds, ttl=(part.ttl[0], part.ttl[1]))
    return bounds


def _prices(parts: dict[str, PricePart]) -> dict[str, tuple[float, float]]:
    return {model: (price.input, price.output) for model, price in parts.items()}
