"""The reasons why a setting of LiteLLM has no counterpart."""

import pytest

from proxy.differences import REASONS, why


@pytest.mark.parametrize("part", REASONS)
def test_every_key_has_a_reason_of_one_line(part: str) -> None:
    """Known keys and those of a later LiteLLM alike."""
    reasons, _ = REASONS[part]
    for key in [*reasons, "a_key_of_next_year"]:
        said = why(part, key)
        assert said
        assert said == " ".join(said.split())


@pytest.mark.parametrize(
    ("part", "key", "word"),
    [
        ("litellm_params", "rpm", "limits"),
        ("litellm_params", "timeout", "upstreams[].timeout"),
        ("litellm_params", "ttl", "policy.categories"),
        ("litellm_settings", "max_budget", "budgets"),
        ("litellm_settings", "fallbacks", "falls back"),
        ("general_settings", "master_key", "keys"),
        ("router_settings", "routing_strategy", "balances"),
        ("cache_params", "namespace", "cache: {namespace"),
        ("environment_variables", "REDIS_HOST", "environment"),
    ],
)
def test_a_reason_names_what_to_look_for(part: str, key: str, word: str) -> None:
    """The way out, or what there is not."""
    assert word in why(part, key)
