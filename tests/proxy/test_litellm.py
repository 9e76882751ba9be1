"""LiteLLM configurations as people write them, and what becomes of each of their keys."""

from __future__ import annotations

import re
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from policies.document import read
from policies.errors import PolicyError
from proxy.litellm import VENDORS, Converted, convert
from proxy.settings import load

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.settings import Settings

CACHED = "litellm_settings: {cache: true, cache_params: {type: local}}\n"


def carried(text: str) -> Converted:
    return convert(read(dedent(text), "config.yaml"))


def loaded(made: Converted, folder: Path, **env: str) -> Settings:
    """The result as `likewise check` reads it."""
    file = folder / "likewise.yaml"
    file.write_text(made.text, encoding="utf-8")
    return load(file, env=env)


def one_model(model: str, **params: str) -> str:
    """A configuration with one deployment, whose callers use the model's own name."""
    name = model.partition("/")[2] or model
    written = "".join(f"      {key}: {value}\n" for key, value in params.items())
    return (
        f"model_list:\n  - model_name: {name}\n    litellm_params:\n      model: {model}\n"
        f"{written}{CACHED}"
    )


def said(made: Converted, key: str) -> list[str]:
    """What is remarked on a key, by its full path."""
    return [remark.message for remark in made.remarks if remark.path == key]


# --- model_list


@pytest.mark.parametrize(
    ("model", "params", "api", "base_url", "name"),
    [
        ("openai/gpt-4o", {}, "openai", "https://api.openai.com/v1", "gpt-4o"),
        ("gpt-4o", {}, "openai", "https://api.openai.com/v1", "gpt-4o"),
        ("o3-mini", {}, "openai", "https://api.openai.com/v1", "o3-mini"),
        ("gpt-4o", {"api_base": "http://127.0.0.1:8000/v1"},
         "openai", "http://127.0.0.1:8000/v1", "gpt-4o"),
        ("gpt-4o", {"base_url": "http://127.0.0.1:8000/v1/"},
         "openai", "http://127.0.0.1:8000/v1", "gpt-4o"),
        ("openai/facebook/opt-125m", {"api_base": "http://127.0.0.1:8000/v1"},
         "openai", "http://127.0.0.1:8000/v1", "facebook/opt-125m"),
        ("hosted_vllm/qwen", {"api_base": "http://127.0.0.1:8000/v1"},
         "openai", "http://127.0.0.1:8000/v1", "qwen"),
        ("facebook/opt-125m", {"custom_llm_provider": "openai", "api_base": "http://a/v1"},
         "openai", "http://a/v1", "facebook/opt-125m"),
        ("groq/llama3-8b", {}, "openai", "https://api.groq.com/openai/v1", "llama3-8b"),
        ("ollama/mistral", {}, "openai", "http://localhost:11434/v1", "mistral"),
        ("ollama/mistral", {"api_base": "http://h:11434"}, "openai", "http://h:11434/v1",
         "mistral"),
        ("anthropic/claude-3-haiku", {}, "anthropic", "https://api.anthropic.com",
         "claude-3-haiku"),
        ("claude-3-haiku", {}, "anthropic", "https://api.anthropic.com", "claude-3-haiku"),
        ("anthropic/c", {"api_base": "https://a.example/v1/messages"}, "anthropic",
         "https://a.example", "c"),
        ("azure/mine", {"api_base": "https://a.openai.azure.com/"}, "azure",
         "https://a.openai.azure.com", "mine"),
        ("openai/*", {}, "openai", "https://api.openai.com/v1", "*"),
    ],
)  # fmt: skip
def test_a_vendor_that_needs_no_translation_is_an_upstream(
    tmp_path: Path, model: str, params: dict[str, str], api: str, base_url: str, name: str
) -> None:
    """Its API, its address and the model's own name."""
    (upstream,) = loaded(carried(one_model(model, **params).replace("name: *", "name: '*'")),
                         tmp_path).upstreams  # fmt: skip
    assert (upstream.api, upstream.base_url, upstream.models) == (api, base_url, (name,))
    assert upstream.api_key is None


@pytest.mark.parametrize(
    "model",
    ["bedrock/anthropic.claude-v2", "vertex_ai/gemini-pro", "gemini/gemini-1.5-pro", "gemini-pro",
     "command-r", "sagemaker/x", "huggingface/a/b", "azure_ai/x", "triton/x"],
)  # fmt: skip
def test_a_vendor_that_needs_translation_is_left_behind(model: str) -> None:
    """It is said in its place, and nothing else of the deployment is."""
    made = carried(one_model(model, rpm="5", api_base="http://a/v1"))
    (reason,) = said(made, "model_list[0].litellm_params.model")
    assert "LiteLLM translates" in reason
    assert not any(remark.path.endswith("rpm") for remark in made.remarks)
    assert "upstreams" not in yaml.safe_load(made.text)


@pytest.mark.parametrize(
    ("params", "key", "reason"),
    [
        ({}, "api_base", "is missing"),
        ({"api_base": "not a url"}, "api_base", "must be a URL"),
        ({"api_base": "https://k:pass@h/v1"}, "api_base", "must not hold a user or a password"),
        ({"base_url": "https://h/v1?api-version=1"}, "base_url", "must not have a query"),
    ],
)
def test_an_address_that_cannot_be_used_leaves_the_model_behind(
    params: dict[str, str], key: str, reason: str
) -> None:
    """Where it stands, and never what it holds."""
    made = carried(one_model("azure/x", **params))
    (found,) = said(made, f"model_list[0].litellm_params.{key}")
    assert reason in found
    assert "pass" not in "".join(map(str, made.remarks)).replace("a password", "")
    assert "upstreams" not in made.text


def test_models_of_one_place_and_key_share_an_upstream(tmp_path: Path) -> None:
    """In the file's order; another key or another place is another upstream."""
    made = carried("""\
        model_list:
          - {model_name: a, litellm_params: {model: openai/a, api_key: os.environ/K1}}
          - {model_name: b, litellm_params: {model: b, api_key: os.environ/K1}}
          - {model_name: c, litellm_params: {model: c, api_key: os.environ/K2}}
          - {model_name: d, litellm_params: {model: d, api_key: os.environ/K1, api_base: "http://h/v1"}}
          - {model_name: a, litellm_params: {model: a, api_key: os.environ/K1}}
        """)
    upstreams = loaded(made, tmp_path, K1="one", K2="two").upstreams
    assert [(u.name, u.models, u.api_key.reveal() if u.api_key else "") for u in upstreams] == [
        ("openai", ("a", "b"), "one"),
        ("openai-2", ("c",), "two"),
        ("openai-3", ("d",), "one"),
    ]
    assert made.text.count("${K1}") == 2


def test_a_pattern_comes_after_the_names(tmp_path: Path) -> None:
    """The first upstream that matches serves here, the most exact one there."""
    made = carried("""\
        model_list:
          - {model_name: "*", litellm_params: {model: "*", api_key: os.environ/K1}}
          - {model_name: a, litellm_params: {model: a, api_key: os.environ/K2}}
        """)
    upstreams = loaded(made, tmp_path, K1="1", K2="2").upstreams
    assert [upstream.models for upstream in upstreams] == [("a",), ("*",)]
    (reason,) = said(made, "model_list[0].model_name")
    assert "OpenAI's upstream takes any" in reason


@pytest.mark.parametrize(
    ("name", "model", "asked"),
    [
        ("smart", "openai/gpt-4o", "callers must ask for 'gpt-4o', not 'smart'"),
        ("gpt-4o", "azure/gpt-4o-eu", "callers must ask for 'gpt-4o-eu', not 'gpt-4o'"),
        ("openai/*", "openai/*", "callers must ask for models by their own names"),
        ("gpt-4o", "openai/gpt-4o", None),
        ("gpt-4o", "gpt-4o", None),
        ("*", "openai/*", None),
    ],
)
def test_models_are_not_renamed(name: str, model: str, asked: str | None) -> None:
    """The model's own name is carried over, and callers of another one are told."""
    made = carried(
        f"model_list: [{{model_name: '{name}', litellm_params: "
        f"{{model: '{model}', api_base: 'https://h/v1'}}}}]"
    )
    assert [asked in found for found in said(made, "model_list[0].model_name") if asked] == (
        [True] if asked else []
    )
    assert bool(said(made, "model_list[0].model_name")) is bool(asked)


def test_several_deployments_of_a_model_are_named() -> None:
    """Under one alias, or under the model's own name; with one key there is only one."""
    made = carried("""\
        model_list:
          - {model_name: m, litellm_params: {model: azure/eu, api_base: "https://eu", api_key: k}}
          - {model_name: m, litellm_params: {model: azure/us, api_base: "https://us", api_key: k}}
          - {model_name: eu, litellm_params: {model: azure/eu, api_base: "https://eu", api_key: k}}
          - {model_name: x, litellm_params: {model: azure/us, api_base: "https://cn", api_key: k}}
        """)
    assert ["first upstream" in str(said(made, f"model_list[{i}]")) for i in range(4)] == [
        False, True, False, True,
    ]  # fmt: skip


# --- keys


def test_a_variable_is_carried_over(tmp_path: Path) -> None:
    """`os.environ/X` anywhere in a deployment is `${X}`, and no remark is due."""
    made = carried(one_model("azure/x", api_key="os.environ/MY_KEY", api_base="os.environ/BASE"))
    (upstream,) = loaded(made, tmp_path, MY_KEY="k", BASE="https://h.example").upstreams
    assert upstream.api_key is not None
    assert (upstream.api_key.reveal(), upstream.base_url) == ("k", "https://h.example")
    assert not said(made, "model_list[0].litellm_params.api_key")


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        (one_model("openai/a", api_key="sk-very-secret"), "OPENAI_API_KEY"),
        (one_model("anthropic/a", api_key="sk-very-secret"), "ANTHROPIC_API_KEY"),
        (one_model("openai/a", api_key="sk-very-secret", api_base="http://h/v1"), "OPENAI_API_KEY"),
        (one_model("hosted_vllm/a", api_key="sk-very-secret", api_base="http://h/v1"),
         "HOSTED_VLLM_API_KEY"),
        (one_model("openai/a", api_key="os.environ/not a name sk-very-secret"), "OPENAI_API_KEY"),
    ],
)  # fmt: skip
def test_a_key_in_the_file_is_not_copied(tmp_path: Path, text: str, variable: str) -> None:
    """A variable is proposed instead, in a line that is good once its # is taken away."""
    made = carried(text)
    assert "very-secret" not in made.text + "".join(map(str, made.remarks))
    (reason,) = said(made, "model_list[0].litellm_params.api_key")
    assert f"`api_key: ${{{variable}}}`" in reason
    assert loaded(made, tmp_path).upstreams[0].api_key is None
    filled = Converted(re.sub(r"(?m)^#(?= )(?=.*api_key)", "", made.text), ())
    key = loaded(filled, tmp_path, **{variable: "k"}).upstreams[0].api_key
    assert key is not None
    assert key.reveal() == "k"


def test_keys_in_the_file_that_differ_get_variables_that_differ() -> None:
    """The second upstream of a vendor must not be sent the first one's key."""
    made = carried("""\
        model_list:
          - {model_name: a, litellm_params: {model: a, api_key: sk-one}}
          - {model_name: b, litellm_params: {model: b, api_key: sk-two}}
        """)
    assert re.findall(r"\$\{\w+\}", made.text) == ["${OPENAI_API_KEY}", "${OPENAI_2_API_KEY}"]


def test_a_key_from_litellms_own_environment_is_named() -> None:
    """The vendor's own variable at the vendor's own address only."""
    there = carried(one_model("openai/a"))
    assert "OPENAI_API_KEY" in said(there, "model_list[0].litellm_params")[0]
    elsewhere = carried(one_model("openai/a", api_base="http://127.0.0.1:8000/v1"))
    assert "API_KEY" not in elsewhere.text + "".join(map(str, elsewhere.remarks))


def test_a_named_credential_is_looked_up(tmp_path: Path) -> None:
    """What the deployment says itself wins; a name that is not there adds nothing."""
    made = carried("""\
        model_list:
          - model_name: mine
            litellm_params: {model: azure/mine, litellm_credential_name: eu}
          - model_name: other
            litellm_params: {model: azure/other, litellm_credential_name: gone}
        credential_list:
          - credential_name: eu
            credential_values: {api_key: os.environ/K, api_base: "https://eu.example"}
            credential_info: {}
        """)
    (upstream,) = loaded(made, tmp_path, K="k").upstreams
    assert (upstream.base_url, upstream.models) == ("https://eu.example", ("mine",))
    assert said(made, "model_list[1].litellm_params.api_base")
    assert not said(made, "credential_list")


# --- the cache


def cache(**params: Any) -> str:
    settings = {"cache": True, "cache_params": params}
    return str(yaml.safe_dump({"litellm_settings": settings}))


@pytest.mark.parametrize(
    ("params", "url"),
    [
        ({"type": "local"}, "sqlite:./.likewise/likewise.db"),
        ({"type": "disk", "disk_cache_dir": "./cache"}, "sqlite:./.likewise/likewise.db"),
        ({"type": "s3", "s3_bucket_name": "b"}, "sqlite:./.likewise/likewise.db"),
        ({"type": "gcs"}, "sqlite:./.likewise/likewise.db"),
        ({"type": "qdrant-semantic"}, "sqlite:./.likewise/likewise.db"),
        ({"type": "redis", "host": "h"}, "redis://h:6379/0"),
        ({"host": "h", "port": 6380, "db": 2}, "redis://h:6380/2"),
        ({"type": "redis-semantic", "host": "h", "port": "6380"}, "redis://h:6380/0"),
        ({"type": "redis", "host": "::1"}, "redis://[::1]:6379/0"),
        ({"type": "redis", "host": "h", "ssl": True}, "rediss://h:6379/0"),
        ({"type": "redis", "host": "h", "password": "hunter2"}, "redis://:secret@h:6379/0"),
        ({"type": "redis", "host": "h", "username": "u", "password": "os.environ/MINE"},
         "redis://u:mine@h:6379/0"),
        ({"type": "redis", "host": "os.environ/HOST", "port": "os.environ/PORT"},
         "redis://r.example:7000/0"),
        ({"type": "redis", "url": "redis://h:1/3"}, "redis://h:1/3"),
        ({"type": "redis", "url": "rediss://u:hunter2@h:1/3"}, "rediss://u:secret@h:1/3"),
        ({"type": "redis", "url": "os.environ/WHOLE"}, "redis://whole:1/0"),
    ],
)  # fmt: skip
def test_the_store_is_carried_over(tmp_path: Path, params: dict[str, Any], url: str) -> None:
    """A file, or one Redis server; a password in the file becomes a variable."""
    made = carried(cache(**params) + yaml.safe_dump({"model_list": [
        {"model_name": "m", "litellm_params": {"model": "m"}}]}))  # fmt: skip
    env = {"HOST": "r.example", "PORT": "7000", "MINE": "mine", "WHOLE": "redis://whole:1/0"}
    settings = loaded(made, tmp_path, REDIS_PASSWORD="secret", **env)
    assert settings.store_url == url
    assert "hunter2" not in made.text + "".join(map(str, made.remarks))
    if "hunter2" in str(params):
        key = "url" if "url" in params else "password"
        assert "REDIS_PASSWORD" in said(made, f"litellm_settings.cache_params.{key}")[0]


@pytest.mark.parametrize(
    ("params", "key"),
    [
        ({"type": "s3"}, "type"),
        ({"type": "qdrant-semantic"}, "type"),
        ({"type": "azure-blob"}, "type"),
        ({"type": "redis"}, ""),
        ({"type": "redis", "host": "a/b"}, "host"),
        ({"type": "redis", "host": "h", "port": "x"}, "port"),
        ({"type": "redis", "host": "h", "db": "x"}, "db"),
        ({"type": "redis", "url": "h:6379"}, "url"),
        ({"type": "redis", "url": "redis://[h"}, "url"),
        ({"type": "redis", "redis_startup_nodes": [{"host": "h"}]}, "redis_startup_nodes"),
        ({"type": "redis", "sentinel_nodes": [["h", 1]]}, "sentinel_nodes"),
        ({"type": "local", "host": "h"}, "host"),
        ({"type": "local", "mode": "default_off"}, "mode"),
        ({"type": "local", "namespace": "n"}, "namespace"),
        ({"type": "local", "supported_call_types": []}, "supported_call_types"),
        ({"type": "local", "ttl": "soon"}, "ttl"),
        ({"type": "local", "ttl": 60, "default_in_redis_ttl": 5}, "default_in_redis_ttl"),
        ({"type": "redis-semantic", "similarity_threshold": 2}, "similarity_threshold"),
        ({"type": "redis-semantic", "similarity_threshold": 0.8}, "similarity_threshold"),
        ({"type": "redis-semantic", "redis_semantic_cache_embedding_model": "e"},
         "redis_semantic_cache_embedding_model"),
        ({"type": "local", "a_key_of_next_year": 1}, "a_key_of_next_year"),
    ],
)  # fmt: skip
def test_what_a_cache_cannot_carry_over_is_said(params: dict[str, Any], key: str) -> None:
    """In its place; the rest is carried over all the same."""
    path = "litellm_settings.cache_params" + (f".{key}" if key else "")
    assert said(carried(cache(**params)), path)


@pytest.mark.parametrize("params", [{"mode": "default_on"}, {"ttl": None}, {"namespace": None}])
def test_what_changes_nothing_is_not_said(params: dict[str, Any]) -> None:
    """Caching by default is what Likewise does; a key without a value says nothing."""
    (key,) = params
    made = carried(cache(type="redis-semantic", **params))
    assert not said(made, f"litellm_settings.cache_params.{key}")


@pytest.mark.parametrize(
    ("params", "ttl", "threshold"),
    [
        ({"ttl": 600}, 600.0, 0.95),
        ({"ttl": 0.5}, 0.5, 0.95),
        ({"ttl": "600"}, 600.0, 0.95),
        ({"default_in_memory_ttl": 60}, 60.0, 0.95),
        ({"ttl": 600, "default_in_redis_ttl": 5}, 600.0, 0.95),
        ({"ttl": 40 * 86_400}, 40 * 86_400.0, 0.95),
        ({"similarity_threshold": 0.8}, 86_400.0, 0.8),
        ({"similarity_threshold": 1}, 86_400.0, 1.0),
        ({"ttl": "soon", "similarity_threshold": -1}, 86_400.0, 0.95),
    ],
)
def test_lifetime_and_threshold_are_carried_over(
    tmp_path: Path, params: dict[str, Any], ttl: float, threshold: float
) -> None:
    """As the policy's defaults; a threshold is fixed. What makes no sense leaves ours in force."""
    file = tmp_path / "likewise.yaml"
    file.write_text(carried(cache(type="redis-semantic", host="h", **params)).text)
    defaults = load(file, upstream="http://h/v1", env={}).rules.defaults
    assert (defaults.ttl, defaults.threshold.start) == (ttl, threshold)
    if "similarity_threshold" in params and threshold != 0.95:
        assert defaults.threshold.max_false_hits is None


@pytest.mark.parametrize(
    "written", ["", "litellm_settings: {cache: false, cache_params: {ttl: 5}}"]
)
def test_a_cache_that_is_off_is_not_carried_over(written: str) -> None:
    """Nothing of it is in force there; what Likewise does instead is said once."""
    made = carried("model_list: [{model_name: m, litellm_params: {model: m}}]\n" + written)
    assert yaml.safe_load(made.text).keys() == {"upstreams"}
    found = [remark for remark in made.remarks if "remembers nothing" in remark.message]
    assert [remark.path for remark in found] == ["litellm_settings.cache" if written else ""]


@pytest.mark.parametrize("word", ["true", "True", "yes", "on"])
def test_a_cache_is_on_in_every_way_that_litellm_reads(word: str) -> None:
    """YAML 1.1 has more words for true than 1.2."""
    made = carried(f"litellm_settings: {{cache: {word}, cache_params: {{ttl: 5}}}}")
    assert yaml.safe_load(made.text)["policy"]["defaults"] == {"ttl": "5s"}


@pytest.mark.parametrize(("kind", "exact"), [("redis", True), ("local", True),
                                             ("redis-semantic", False)])  # fmt: skip
def test_an_exact_cache_becomes_one_by_meaning(kind: str, exact: bool) -> None:
    """Who had exact matches only is told."""
    found = said(carried(cache(type=kind, host="h")), "litellm_settings.cache_params.type")
    assert any("by meaning" in reason for reason in found) is exact


# --- everything else


def test_every_other_key_is_said_with_its_place() -> None:
    """One line each: file, line, key, why; in the file's order."""
    made = carried("""\
        model_list:
          - model_name: m
            litellm_params:
              model: m
              api_key: os.environ/K
              rpm: 5
              ttl: 60
            model_info: {id: one}
        litellm_settings:
          cache: true
          cache_params: {type: redis-semantic, host: h}
          num_retries: 3
        general_settings:
          master_key: sk-1234
        router_settings:
          routing_strategy: least-busy
        environment_variables:
          OTHER: sk-5678
        guardrails: [x]
        """)
    assert [str(remark).split(": ")[:2] for remark in made.remarks] == [
        ["config.yaml:6", "model_list[0].litellm_params.rpm"],
        ["config.yaml:7", "model_list[0].litellm_params.ttl"],
        ["config.yaml:8", "model_list[0].model_info"],
        ["config.yaml:12", "litellm_settings.num_retries"],
        ["config.yaml:14", "general_settings.master_key"],
        ["config.yaml:16", "router_settings.routing_strategy"],
        ["config.yaml:18", "environment_variables.OTHER"],
        ["config.yaml:19", "guardrails"],
    ]
    assert all("\n" not in str(remark) for remark in made.remarks)
    assert "sk-" not in made.text + "".join(map(str, made.remarks))


@pytest.mark.parametrize("model", ["anthropic/c", "azure/c"])
def test_who_must_speak_a_vendors_own_api_is_told(model: str) -> None:
    """LiteLLM's callers all speak OpenAI's."""
    made = carried(one_model(model, api_base="https://h.example"))
    assert "callers use /" in said(made, "model_list[0].litellm_params.model")[0]


@pytest.mark.parametrize(
    ("base", "told"), [("http://h/v1", False), ("http://h", True), ("os.environ/B", False)]
)
def test_an_address_without_v1_is_told(base: str, told: bool) -> None:
    """LiteLLM adds its own path to it, Likewise the caller's."""
    made = carried(one_model("openai/a", api_base=base))
    found = "".join(said(made, "model_list[0].litellm_params.api_base"))
    assert ("without `/v1`" in found) is told


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("", 0, ""),
        ("7", 1, ""),
        ("- model_list", 1, ""),
        ("upstreams: []", 1, ""),
        ("\n\nmodel_list: {a: 1}", 3, "model_list"),
        ("model_list:\n- x", 2, "model_list[0]"),
        ("model_list:\n- litellm_params: {model: m}", 2, "model_list[0].model_name"),
        ("model_list:\n- model_name: 7\n  litellm_params: {model: m}", 2,
         "model_list[0].model_name"),
        ("model_list:\n- model_name: m", 2, "model_list[0].litellm_params"),
        ("model_list:\n- model_name: m\n  litellm_params: [m]", 3,
         "model_list[0].litellm_params"),
        ("model_list:\n- model_name: m\n  litellm_params: {}", 3,
         "model_list[0].litellm_params.model"),
        ("model_list:\n- model_name: m\n  litellm_params:\n    model: 7", 4,
         "model_list[0].litellm_params.model"),
        ("model_list:\n- model_name: m\n  litellm_params:\n    model: openai/", 4,
         "model_list[0].litellm_params.model"),
        ('model_list:\n- model_name: m\n  litellm_params:\n    model: "a\\nb"', 4,
         "model_list[0].litellm_params.model"),
        ("litellm_settings: [cache]", 1, "litellm_settings"),
        ("litellm_settings:\n  cache_params: redis", 2, "litellm_settings.cache_params"),
        ("model_list: []\ngeneral_settings: x", 2, "general_settings"),
    ],
)  # fmt: skip
def test_what_is_no_litellm_configuration_is_refused(text: str, line: int, key: str) -> None:
    """With its place."""
    with pytest.raises(PolicyError) as caught:
        carried(text)
    (problem,) = caught.value.problems
    assert (problem.file, problem.path) == ("config.yaml", key)
    assert problem.line == line or not text


def test_every_mistake_is_shown() -> None:
    """Not only the first."""
    with pytest.raises(PolicyError) as caught:
        carried("model_list: [x, {model_name: m}]\nrouter_settings: 7")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    "text", ["model_list: []", "model_list:", "general_settings: {}", one_model("bedrock/x")]
)
def test_nothing_to_carry_over_is_no_text(text: str) -> None:
    """There is no empty configuration that would look like a good one."""
    assert carried(text.replace(CACHED, "")).text == ""


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=30))
def test_any_name_of_a_model_survives(name: str) -> None:
    """Quotes, colons and signs of YAML's own stay what they are."""
    model = f"openai/x{name}x"
    listed = [{"model_name": "m", "litellm_params": {"model": model}}]
    made = convert(read(yaml.safe_dump({"model_list": listed}, allow_unicode=True), "c.yaml"))
    again = read(made.text, "likewise.yaml")
    assert again.at(("upstreams", 0, "models")) == [f"x{name}x"]


@pytest.mark.parametrize("prefix", VENDORS)
def test_every_vendor_makes_an_upstream_that_is_accepted(tmp_path: Path, prefix: str) -> None:
    """Its address is one that the settings take, and its variable one that can be set."""
    made = carried(one_model(f"{prefix}/m", api_key="sk-x", api_base="https://h.example/v1"))
    assert loaded(made, tmp_path).upstreams[0].models == ("m",)
    vendor = VENDORS[prefix]
    if vendor.base_url:
        made = carried(one_model(f"{prefix}/m"))
        assert loaded(made, tmp_path).upstreams[0].base_url == vendor.base_url
    assert re.fullmatch(r"([A-Z][A-Z0-9_]+_API_KEY)?", vendor.variable)
