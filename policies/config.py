"""The `policy:` and `prices:` parts of a configuration: read, checked, every default filled in.

No file is opened here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from policies import amounts, vcache
from policies.checked import (
    Duration,
    Fault,
    Fraction,
    Pattern,
    Section,
    Unit,
    Word,
    amount,
    number,
    parse,
    some_time,
)
from policies.conflicts import conflicts
from policies.document import Document, read
from policies.errors import PolicyError
from policies.values import (
    CategoryRules,
    Collapse,
    ContextMode,
    JudgeKind,
    JudgeRules,
    LoadRules,
    Overrides,
    Replay,
    Rules,
    Share,
    Signal,
    Threshold,
)
from policies.verdicts import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from policies.values import ContextRules

DEFAULT = "default"
GUARDS = tuple(r.removeprefix("guard-") for r in Reason if r.startswith("guard-"))
NAME = r"[a-z0-9_-]{1,40}"
MOST_CALLS = 1_000_000


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


Bound = Annotated[float, *amount(_bound, amounts.SHARE, exclusiveMinimum=0, exclusiveMaximum=1)]
Guard = Annotated[str, AfterValidator(_guard), WithJsonSchema({"enum": list(GUARDS)})]
CategoryName = Annotated[str, AfterValidator(_category_name)]


class ThresholdPart(Section):
    max_false_hits: Bound | None = None
    start: Unit | None = None
    vcache: Bound | None = None
    """By vCache's rule: at most this share of all answers wrong."""
    floor: Unit | None = None
    """Whatever lowers the cut, it stops here."""

    @model_validator(mode="after")
    def _one_rule(self) -> ThresholdPart:
        others = [key for key in ("max_false_hits", "start") if getattr(self, key) is not None]
        if self.vcache is not None and others:
            raise Fault(f"`{others[0]}` does not go with `vcache`; write one of the two", others[0])
        return self


def _threshold(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A plain number is a fixed cut; it inherits neither bound nor floor."""
    if isinstance(value, dict):
        return handler(value)
    if value == "vcache":
        return ThresholdPart(vcache=vcache.DELTA)
    try:
        start = amounts.unit(value)
    except ValueError:
        said = (
            "must be a number from 0 to 1, `vcache`, or a mapping such as "
            "{max_false_hits: 2%, start: 0.95}"
        )
        raise ValueError(said) from None
    return ThresholdPart.model_construct(set(ThresholdPart.model_fields), start=start)


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
                        {"const": "vcache"},
                        {
                            "type": "object",
                            "additionalProperties": False,
                            "properties": {
                                "max_false_hits": {"type": ["string", "number"]},
                                "start": {"type": "number", "minimum": 0, "maximum": 1},
                                "vcache": {"type": ["string", "number"]},
                                "floor": {"type": "number", "minimum": 0, "maximum": 1},
                            },
                        },
                    ]
                }
            ),
        ]
        | None
    ) = None
    """A fixed cosine, `vcache`, or {max_false_hits: 2%, start: 0.95, floor: 0.85}."""
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

    @model_validator(mode="after")
    def _has_examples(self) -> CategoryPart:
        """No example at all is a way in that leads nowhere."""
        if self.examples == [] and not (self.keywords or self.patterns or self.models):
            raise Fault(
                "holds no example, so nothing is recognised as this category; write a few "
                "questions of its kind, or keywords, patterns or models",
                "examples",
            )
        return self


def _pair(values: list[float]) -> list[float]:
    if len(values) != 2:  # noqa: PLR2004 - lower and upper
        raise ValueError("must be two values, [lowest, highest]")
    if values[0] > values[1]:
        raise Fault("the first value is above the second; write [lowest, highest]")
    return values


class OverridesPart(Section):
    threshold: Annotated[list[Unit], AfterValidator(_pair)] | None = None
    ttl: Annotated[list[Duration], AfterValidator(_pair)] | None = None


def _count(value: Any) -> float:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_CALLS:
        raise ValueError(f"must be a whole number from 0 to {MOST_CALLS:,}")
    return float(value)


# How each signal's bounds are read and shown, and what they are where only the signal is written.
_MEASURES: dict[str, tuple[Callable[[Any], float], str, float, float]] = {
    Signal.LATENCY: (some_time, "{:g}s", 2.0, 8.0),
    Signal.IN_FLIGHT: (_count, "{:g}", 50.0, 200.0),
    Signal.REFUSALS: (amounts.share, "{:.3g}", 0.01, 0.1),
}
_Measure = Annotated[float, WithJsonSchema({"type": ["string", "number"]})]


class LoadPart(Section):
    signal: Literal["upstream_latency_p95", "in_flight", "rate_429"] = "upstream_latency_p95"
    """Of upstream: how late its answers begin, calls under way, share of answers with 429."""
    low: _Measure = Field(default=None, validate_default=True)
    """Up to here nothing is loosened; a duration, a count or a share, as the signal has it."""
    high: _Measure = Field(default=None, validate_default=True)
    """From here on everything is."""
    max_threshold_drop: Unit = 0.03
    max_ttl_factor: Annotated[float, *number(1, 1000)] = 2.0

    @field_validator("low", "high", mode="before")
    @classmethod
    def _measured(cls, value: Any, info: ValidationInfo) -> float:
        reader, _, low, high = _MEASURES[info.data.get("signal", Signal.LATENCY)]
        if value is None:
            return low if info.field_name == "low" else high
        return reader(value)

    @field_validator("high")
    @classmethod
    def _above_low(cls, high: float, info: ValidationInfo) -> float:
        low = info.data.get("low")
        shown = _MEASURES[info.data.get("signal", Signal.LATENCY)][1].format
        if low is not None and high <= low:
            raise Fault(f"must be above `low`, which is {shown(low)}; got {shown(high)}")
        return high


# What belongs to one kind of judge only.
_JUDGES = {
    "threshold": "embedding",
    "model": "llm",
    "upstream": "llm",
    "sample": "llm",
    "per_minute": "llm",
    "per_day": "llm",
}
_OftenAtMost = Annotated[int, *number(1, 1_000_000, whole=True)]


class JudgePart(Section):
    kind: Literal["text", "embedding", "llm"]
    threshold: Unit | None = None
    """How similar two long answers must be, cosine; short ones a little less."""
    model: Word | None = None
    upstream: Word | None = None
    """The name of the upstream that serves the model, and whose `api_key` is used."""
    sample: Fraction | None = None
    """The share of the cases that the model is asked about."""
    per_minute: _OftenAtMost | None = None
    per_day: _OftenAtMost | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> JudgePart:
        for key, kind in _JUDGES.items():
            if key in self.model_fields_set and self.kind != kind:
                raise Fault(f"belongs to `kind: {kind}`; remove it, or change the kind", key)
        return self


def _judge(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """A kind alone stands for a mapping."""
    if isinstance(value, dict):
        return handler(value)
    if value not in tuple(JudgeKind):
        said = "must be one of text, embedding, llm, or a mapping such as {kind: llm, sample: 20%}"
        raise ValueError(said)
    return JudgePart(kind=value)


_JUDGE_SCHEMA: dict[str, Any] = {
    "anyOf": [{"enum": [kind.value for kind in JudgeKind]}, JudgePart.model_json_schema()]
}


class PolicyPart(Section):
    mode: Literal["serve", "shadow"] | None = None
    share: Literal["user", "key", "tenant", "everyone"] | None = None
    """Who may be answered from whose entries."""
    max_temperature: Annotated[float, *number(0, 2)] | None = None
    """A hotter request is neither answered from memory nor stored."""
    judge: Annotated[JudgePart, WrapValidator(_judge), WithJsonSchema(_JUDGE_SCHEMA)] | None = None
    """Is a fresh answer the same as the remembered one? text, embedding, llm, or a mapping."""
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
    rules = Rules(
        defaults=defaults,
        categories=tuple(_categories(shipped.policy, written.policy, defaults)),
        shadow=_last("mode", "serve", shipped, written) == "shadow",
        collapse=Collapse(_last("collapse", "exact", shipped, written)),
        replay=Replay(_last("replay", "fast", shipped, written)),
        regenerate=_last("regenerate", 0.0, shipped, written),
        stateful=_last("stateful", "serve", shipped, written) == "serve",
        overrides=_overrides(written.policy.overrides),
        audits=_last("audits", 0.0, shipped, written),
        judge=_judged(_last("judge", None, shipped, written)),
        load=_load(written.policy.load),
        prices=_prices(shipped.prices) | _prices(written.prices),
        version=hashlib.sha256(said.encode("utf-8", "replace")).hexdigest()[:12],
    )
    found = sorted(conflicts(rules, document), key=lambda problem: problem.line)
    if found:
        raise PolicyError(found)
    return rules


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
    """What is written of one rule leaves another one behind, and the floor that belonged to it."""
    written = part.model_fields_set
    to_vcache = part.vcache is not None
    stays = to_vcache if under.delta is not None else not to_vcache
    if under.delta is not None and not written & {"start", "max_false_hits", "vcache"}:
        stays, to_vcache = True, True
    inherited = under.floor if stays else (vcache.FLOOR if to_vcache else None)
    floor = part.floor if "floor" in written else inherited
    start = under.start if part.start is None else part.start
    if to_vcache:
        return Threshold(start, delta=part.vcache or under.delta, floor=floor)
    bound = part.max_false_hits if "max_false_hits" in written else under.max_false_hits
    return Threshold(start, bound, floor=floor)


def _over_context(under: ContextRules, part: ContextPart) -> ContextRules:
    return replace(
        under,
        mode=ContextMode(part.mode) if part.mode else under.mode,
        threshold=under.threshold if part.threshold is None else part.threshold,
        max_turns=under.max_turns if part.max_turns is None else part.max_turns,
    )


def _judged(part: JudgePart | None) -> JudgeRules:
    if part is None:
        return JudgeRules()
    said = {k: v for k in _JUDGES if (v := getattr(part, k)) is not None}
    return JudgeRules(kind=JudgeKind(part.kind), **said)


def _overrides(part: OverridesPart) -> Overrides:
    bounds = Overrides()
    if part.threshold is not None:
        bounds = replace(bounds, threshold=(part.threshold[0], part.threshold[1]))
    if part.ttl is not None:
        bounds = replace(bounds, ttl=(part.ttl[0], part.ttl[1]))
    return bounds


def _load(part: LoadPart | None) -> LoadRules | None:
    if part is None:
        return None
    return LoadRules(
        Signal(part.signal), part.low, part.high, part.max_threshold_drop, part.max_ttl_factor
    )


def _prices(parts: dict[str, PricePart]) -> dict[str, tuple[float, float]]:
    return {model: (price.input, price.output) for model, price in parts.items()}
