"""Every field of every cached API, classed: it shapes an answer, carries it, or forbids its use.

Data, and the three questions a dialect asks of it. A field that is not listed shapes the answer, so
it is part of the key. A test holds the lists against the official packages' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from policies.verdicts import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Use(StrEnum):
    """What a top-level field of a request means for remembering its answer."""

    KEY = "key"
    """Shapes the answer: must be equal."""
    TEXT = "text"
    """Holds what is asked; the dialect takes it apart."""
    TRANSPORT = "transport"
    """Forwarded, and no part of the key."""
    EXACT = "exact"
    """Part of the key, and its presence forbids matching by meaning."""
    BYPASS = "bypass"
    """Its presence forbids looking up and storing."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field's class; `idle` lists the values that mean the same as its absence."""

    use: Use
    reason: Reason | None = None
    idle: tuple[Any, ...] = (None, False)


KEY, TEXT, TRANSPORT = Field(Use.KEY), Field(Use.TEXT), Field(Use.TRANSPORT)
_ALONE = (None, 1)


def _exact(reason: Reason, idle: tuple[Any, ...] = (None, False)) -> Field:
    return Field(Use.EXACT, reason, idle)


def _bypass(reason: Reason) -> Field:
    return Field(Use.BYPASS, reason)


def _each(field: Field, names: str) -> dict[str, Field]:
    return dict.fromkeys(names.split(), field)


CHAT = {
    **_each(TEXT, "messages"),
    **_each(
        KEY,
        "frequency_penalty logit_bias max_completion_tokens max_tokens modalities model moderation "
        "parallel_tool_calls presence_penalty reasoning_effort response_format seed service_tier "
        "stop temperature top_p verbosity",
    ),
    **_each(
        TRANSPORT,
        "metadata prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier "
        "stream stream_options user",
    ),
    **_each(_exact(Reason.TOOLS), "function_call functions tool_choice tools"),
    **_each(_exact(Reason.LOGPROBS), "logprobs top_logprobs"),
    "n": _exact(Reason.N, _ALONE),
    "prediction": _exact(Reason.UNSUPPORTED),
    "store": _bypass(Reason.STATEFUL),
    "web_search_options": _bypass(Reason.TOOLS),
    "audio": _bypass(Reason.MULTIMODAL),
}
"""`POST /v1/chat/completions`."""

COMPLETIONS = {
    **_each(TEXT, "prompt"),
    **_each(
        KEY,
        "frequency_penalty logit_bias max_tokens model presence_penalty seed stop temperature "
        "top_p",
    ),
    **_each(TRANSPORT, "stream stream_options user"),
    "logprobs": _exact(Reason.LOGPROBS),
    **_each(_exact(Reason.N, _ALONE), "best_of n"),
    **_each(_exact(Reason.UNSUPPORTED, (None, False, "")), "echo suffix"),
}
"""`POST /v1/completions`."""

RESPONSES = {
    **_each(TEXT, "input"),
    **_each(
        KEY,
        "access_programs include instructions max_output_tokens max_tool_calls model moderation "
        "parallel_tool_calls reasoning service_tier store temperature text top_p truncation",
    ),
    **_each(
        TRANSPORT,
        "metadata prompt_cache_key prompt_cache_options prompt_cache_retention safety_identifier "
        "stream stream_options user",
    ),
    **_each(_exact(Reason.TOOLS), "tool_choice tools"),
    "top_logprobs": _exact(Reason.LOGPROBS, (None, False, 0)),
    "image": _exact(Reason.MULTIMODAL),
    # A template at the vendor's, which may change there.
    "prompt": _exact(Reason.UNSUPPORTED),
    **_each(
        _bypass(Reason.STATEFUL),
        "background background_options context_management conversation previous_response_id",
    ),
}
"""`POST /v1/responses`. `store` is keyed: an answer that the vendor keeps has an id that works."""

EMBEDDINGS = {
    **_each(TEXT, "input"),
    **_each(KEY, "dimensions encoding_format model"),
    **_each(TRANSPORT, "user"),
}
"""`POST /v1/embeddings`, keyed per item of `input`."""

MESSAGES = {
    **_each(TEXT, "messages"),
    **_each(
        KEY,
        "cache_control diagnostics inference_geo max_tokens model output_config service_tier "
        "speed stop_sequences system temperature thinking top_k top_p user_profile_id "
        "workspace_id",
    ),
    **_each(TRANSPORT, "metadata stream"),
    **_each(_exact(Reason.TOOLS), "tool_choice tools"),
    **_each(_bypass(Reason.STATEFUL), "container context_management"),
    "mcp_servers": _bypass(Reason.TOOLS),
}
"""`POST /v1/messages` (Anthropic)."""


def bypass(body: Mapping[str, Any], fields: Mapping[str, Field]) -> Reason | None:
    """Why this request may be neither looked up nor stored, by its fields alone."""
    return _present(body, fields, Use.BYPASS)


def exact_only(body: Mapping[str, Any], fields: Mapping[str, Field]) -> Reason | None:
    """Why this request may not be matched by meaning, by its fields alone."""
    return _present(body, fields, Use.EXACT)


def keyed(body: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, Any]:
    """The fields that shape the answer, unknown ones included, `TEXT` left to the dialect."""
    return {
        name: value
        for name, value in body.items()
        if fields.get(name, KEY).use not in (Use.TRANSPORT, Use.TEXT)
    }


def server_tools(tools: Any, local: Iterable[str | None]) -> bool:
    """Whether the vendor would run a tool itself (search, code): such answers are of the moment.

    `local` are the `type` values of tools that the caller runs.
    """
    known = frozenset(local)
    return isinstance(tools, list) and not all(
        isinstance(tool, dict) and _name(tool.get("type")) in known for tool in tools
    )


def _name(value: Any) -> Any:
    """What may be looked up in a set, or a name that no tool has."""
    return value if value is None or isinstance(value, str) else "?"


def _present(body: Mapping[str, Any], fields: Mapping[str, Field], use: Use) -> Reason | None:
    for name, value in body.items():
        field = fields.get(name)
        if field is not None and field.use is use and not _is_idle(value, field.idle):
            return field.reason
    return None


def _is_idle(value: Any, idle: tuple[Any, ...]) -> bool:
    """Equality that keeps 1, 1.0 and True apart: only 1 is one answer."""
    return any(type(value) is type(one) and value == one for one in idle)
