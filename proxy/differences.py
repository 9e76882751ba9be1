"""Why a setting of LiteLLM has no counterpart here: data for `proxy.litellm`."""

from __future__ import annotations

_LIMITS = (
    "Likewise balances no load, and bounds keys only: server.limits.key_calls and key_misses; "
    "the first upstream that matches serves, others of its pool take over"
)
_RETRY = "Likewise neither retries nor falls back to another model"
_CHANGE = "Likewise does not change requests; callers send it themselves"
_KEYS = "Likewise has no keys, users or budgets of its own; callers' keys are passed on upstream"
_CALLBACK = "Likewise calls nothing; see /metrics and the dashboard"
_TIMES = "it bounds a whole call; see upstreams[].timeout for connect, first_byte and idle"
_PRICES = "write it under `prices:`, in dollars per million tokens"
_NO_SUCH = "Likewise has no such setting"


def _each(why: str, names: str) -> dict[str, str]:
    return dict.fromkeys(names.split(), why)


_PARAMS = {
    **_each(
        _LIMITS,
        "rpm tpm weight order max_parallel_requests max_budget budget_duration tags",
    ),
    **_each(_RETRY, "max_retries num_retries"),
    **_each(
        _CHANGE,
        "additional_drop_params drop_params extra_body extra_headers frequency_penalty headers "
        "max_completion_tokens max_tokens metadata modify_params n organization presence_penalty "
        "reasoning_effort response_format seed stop temperature thinking tool_choice tools top_p "
        "user",
    ),
    **_each(_TIMES, "timeout stream_timeout"),
    **_each(_PRICES, "input_cost_per_token output_cost_per_token"),
    "api_version": "callers name it in the address, as Azure's own clients do",
    **_each(
        "lifetimes are set for categories, which may be recognised by model: "
        "policy.categories.<name> with `models` and `ttl`",
        "cache caching ttl",
    ),
}
_CACHE = {
    "mode": (
        "Likewise remembers unless a caller says otherwise, with `x-likewise-mode: off` or "
        "`Cache-Control: no-store`; it does not know `use-cache`"
    ),
    "supported_call_types": (
        "which routes are remembered cannot be chosen; a caller may send `x-likewise-mode: off`"
    ),
    "namespace": "callers choose one per request, in the body field `cache: {namespace: ...}`",
    **_each(
        "Likewise embeds on its own machine; see `embedding:`",
        "redis_semantic_cache_embedding_model qdrant_semantic_cache_embedding_model",
    ),
    **_each(
        "only a single Redis server is carried over; see store.url",
        "redis_startup_nodes sentinel_nodes sentinel_password service_name",
    ),
}
_LITELLM = {
    **_each(
        _RETRY,
        "allowed_fails content_policy_fallbacks context_window_fallbacks default_fallbacks "
        "fallbacks num_retries",
    ),
    **_each(_CHANGE, "drop_params modify_params"),
    **_each(_TIMES, "request_timeout"),
    **_each(_KEYS, "budget_duration key_generation_settings max_budget max_internal_user_budget"),
    **_each(_CALLBACK, "callbacks failure_callback service_callbacks success_callback"),
}
_GENERAL = {
    **_each(
        _KEYS,
        "allow_requests_on_db_unavailable custom_auth database_url enable_jwt_auth "
        "key_management_system master_key max_budget user_api_key_cache_ttl",
    ),
    **_each(_CALLBACK, "alerting alerting_threshold"),
    **_each(_LIMITS, "global_max_parallel_requests max_parallel_requests"),
    **_each("see `server:`", "host max_request_size_mb max_response_size_mb port"),
}

REASONS: dict[str, tuple[dict[str, str], str]] = {
    "": ({}, "Likewise has no such part"),
    "model": ({}, "it describes the model to LiteLLM's router, price list and pages"),
    "litellm_params": (_PARAMS, _NO_SUCH),
    "cache_params": (_CACHE, _NO_SUCH),
    "litellm_settings": (_LITELLM, _NO_SUCH),
    "general_settings": (_GENERAL, _NO_SUCH),
    "router_settings": ({}, _LIMITS),
    "environment_variables": ({}, "Likewise sets no variables; set it in the environment"),
}
"""For each part of LiteLLM's file the reasons by key, and the one for every other key."""


def why(part: str, key: str) -> str:
    """Why this key of that part is not carried over."""
    reasons, otherwise = REASONS[part]
    return reasons.get(key, otherwise)
