"""A LiteLLM proxy's configuration as a likewise.yaml, and what of it cannot be carried over. Pure.

LiteLLM is many things: it translates vendors' APIs, renames models, balances load, keeps keys and
budgets. Likewise passes requests on as they are and remembers answers; so the vendors that need no
translation and the settings of the cache are taken over, and each of the rest is named with why.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from urllib.parse import quote, urlsplit

from policies import amounts
from policies.errors import PolicyError, Problem
from proxy.differences import why
from proxy.schema import http_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from policies.document import Document, Path

Say: TypeAlias = "Callable[[Path, str], None]"

_SECTIONS = ("litellm_settings", "general_settings", "router_settings", "environment_variables")
_VARIABLE = re.compile(r"os\.environ/([A-Za-z_][A-Za-z0-9_]*)")
_CACHE: Path = ("litellm_settings", "cache_params")
_LOCAL_FILE = "sqlite:./.likewise/likewise.db"


class Vendor(NamedTuple):
    """Whose paths and keys it takes, where it is unless `api_base` says, and the variable that
    LiteLLM takes its key from."""

    api: str
    base_url: str = ""
    variable: str = ""


OPENAI = Vendor("openai", "https://api.openai.com/v1", "OPENAI_API_KEY")
VENDORS = {
    "openai": OPENAI,
    "text-completion-openai": OPENAI,
    "anthropic": Vendor("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY"),
    "azure": Vendor("azure", variable="AZURE_API_KEY"),
    "cerebras": Vendor("openai", "https://api.cerebras.ai/v1", "CEREBRAS_API_KEY"),
    "deepseek": Vendor("openai", "https://api.deepseek.com/v1", "DEEPSEEK_API_KEY"),
    "fireworks_ai": Vendor(
        "openai", "https://api.fireworks.ai/inference/v1", "FIREWORKS_AI_API_KEY"
    ),
    "groq": Vendor("openai", "https://api.groq.com/openai/v1", "GROQ_API_KEY"),
    "mistral": Vendor("openai", "https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "nvidia_nim": Vendor("openai", "https://integrate.api.nvidia.com/v1", "NVIDIA_NIM_API_KEY"),
    "ollama": Vendor("openai", "http://localhost:11434/v1"),
    "ollama_chat": Vendor("openai", "http://localhost:11434/v1"),
    "openrouter": Vendor("openai", "https://openrouter.ai/api/v1", "OPENROUTER_API_KEY"),
    "together_ai": Vendor("openai", "https://api.together.xyz/v1", "TOGETHERAI_API_KEY"),
    "xai": Vendor("openai", "https://api.x.ai/v1", "XAI_API_KEY"),
    **dict.fromkeys(
        ("custom_openai", "hosted_vllm", "litellm_proxy", "llamafile", "lm_studio", "openai_like",
         "xinference"),
        Vendor("openai"),
    ),
}  # fmt: skip
"""The prefixes of `litellm_params.model` behind which an API of ours is spoken."""

_BARE = {"claude": "anthropic", "command": "cohere", "gemini": "gemini"}
"""Where a model without a prefix goes, by its first word; anything else is OpenAI's."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A likewise.yaml, empty where nothing could be carried over, and what was left behind."""

    text: str
    remarks: tuple[Problem, ...]


@dataclass(slots=True)
class _Upstream:
    """`key` is a variable to fill in, `hint` one that the operator may want to."""

    name: str
    vendor: Vendor
    base_url: str
    key: str
    hint: str
    models: list[str] = field(default_factory=list)


def convert(document: Document) -> Converted:
    """Raises `PolicyError` where the document is no LiteLLM configuration."""
    problems = list(_misshapen(document))
    if problems:
        raise PolicyError(problems)
    remarks: list[Problem] = []

    def say(path: Path, said: str) -> None:
        remarks.append(document.problem(path, said))

    upstreams = _upstreams(document, say)
    store, defaults = _cache(document, say)
    _say_the_rest(document, say)
    text = _text(upstreams, store, defaults) if upstreams or store or defaults else ""
    return Converted(text, tuple(sorted(remarks, key=lambda remark: remark.line)))


# -- is it one? ----------------------------------------------------------------------------------


def _misshapen(document: Document) -> Iterator[Problem]:
    """What no LiteLLM configuration looks like."""
    whole = document.value
    if not isinstance(whole, dict) or not whole.keys() & {"model_list", *_SECTIONS}:
        yield document.problem((), "is no LiteLLM configuration: it has no `model_list:`")
        return
    for path in (*((name,) for name in _SECTIONS), _CACHE):
        if not isinstance(document.at(path) or {}, dict):
            yield document.problem(path, "must be a mapping")
    listed = document.at(("model_list",)) or []
    if not isinstance(listed, list):
        yield document.problem(("model_list",), "must be a list")
        return
    for i, entry in enumerate(listed):
        yield from _misshapen_entry(document, ("model_list", i), entry)


def _misshapen_entry(document: Document, where: Path, entry: Any) -> Iterator[Problem]:
    if not isinstance(entry, dict):
        yield document.problem(where, "must be a mapping with model_name and litellm_params")
        return
    if not isinstance(entry.get("model_name"), str):
        yield document.problem((*where, "model_name"), "must be the name that callers ask for")
    params = entry.get("litellm_params")
    if not isinstance(params, dict):
        yield document.problem((*where, "litellm_params"), "must be a mapping with `model`")
    elif not _is_model(params.get("model")):
        yield document.problem((*where, "litellm_params", "model"), "must be a model's name")


def _is_model(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable() and bool(value.rpartition("/")[2].strip())


# -- model_list ----------------------------------------------------------------------------------


def _upstreams(document: Document, say: Say) -> list[_Upstream]:
    """The upstreams, those for any model last: LiteLLM too prefers a name to a pattern."""
    made: dict[tuple[str, ...], _Upstream] = {}
    named: Counter[str] = Counter()
    served: set[tuple[str, str]] = set()
    for i, entry in enumerate(document.at(("model_list",)) or []):
        where: Path = ("model_list", i)
        params = _credentials(document, entry["litellm_params"]) | entry["litellm_params"]
        prefix, model = _vendor(params)
        base_url = _base_url(prefix, params, (*where, "litellm_params"), say)
        if base_url is None:
            continue
        _say_each(entry, "model", where, say, known=("model_name", "litellm_params"))
        _say_each(params, "litellm_params", (*where, "litellm_params"), say, known=_USED)
        _say_name(entry, model, (*where, "model_name"), say)
        same = {("", entry["model_name"]), (VENDORS[prefix].api, model)}
        group = (VENDORS[prefix].api, base_url, str(params.get("api_key")))
        if group not in made:
            if same & served:
                said = (
                    "LiteLLM chooses between the deployments of a model; here the first upstream "
                    "that takes it serves"
                )
                say(where, said)
            named[prefix] += 1
            name = prefix if named[prefix] == 1 else f"{prefix}-{named[prefix]}"
            made[group] = _upstream(name, prefix, base_url, params, where, say)
        served |= same
        if model not in made[group].models:
            made[group].models.append(model)
    return sorted(made.values(), key=lambda one: any("*" in model for model in one.models))


_USED = ("model", "api_base", "base_url", "api_key", "custom_llm_provider",
         "litellm_credential_name")  # fmt: skip


def _credentials(document: Document, params: Mapping[str, Any]) -> dict[str, Any]:
    """What `credential_list` holds under the name that a deployment uses."""
    listed = document.at(("credential_list",))
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and one.get("credential_name") == params.get(
            "litellm_credential_name", ...
        ):
            values = one.get("credential_values")
            return values if isinstance(values, dict) else {}
    return {}


def _vendor(params: Mapping[str, Any]) -> tuple[str, str]:
    """The vendor's prefix and the model's own name, as LiteLLM tells them apart."""
    prefix, slash, rest = params["model"].partition("/")
    named = params.get("custom_llm_provider")
    if isinstance(named, str) and named:
        return named, rest if slash and prefix == named else params["model"]
    if slash:
        return prefix, rest
    return _BARE.get(re.split(r"[-.]", prefix)[0], "openai"), params["model"]


def _base_url(prefix: str, params: Mapping[str, Any], where: Path, say: Say) -> str | None:
    """Where a deployment's requests go; None, and said why, where Likewise cannot send them."""
    vendor = VENDORS.get(prefix)
    if vendor is None:
        said = (
            f"LiteLLM translates requests for {prefix!r}, Likewise passes them on as they are; "
            "if its server speaks OpenAI's API, write an upstream by hand"
        )
        say((*where, "model"), said)
        return None
    key = "base_url" if "base_url" in params and "api_base" not in params else "api_base"
    written = _filled(params.get(key)) or vendor.base_url
    if not written:
        say((*where, key), "is missing: without it there is no telling where this model is")
        return None
    url = written.rstrip("/").removesuffix("/v1/messages")
    if prefix.startswith("ollama") and not url.endswith("/v1"):
        url += "/v1"  # Ollama's paths of OpenAI's form
    try:
        url = url if "${" in url else http_url(url)
    except ValueError as fault:
        say((*where, key), str(fault))
        return None
    if vendor.api == "openai" and not url.endswith(("/v1", "}")):
        said = (
            "LiteLLM puts `/chat/completions` behind this, Likewise the path that it is asked "
            "for: point clients at Likewise without `/v1`"
        )
        say((*where, key), said)
    return url


def _say_name(entry: Mapping[str, Any], model: str, where: Path, say: Say) -> None:
    alias = entry["model_name"]
    if alias != model:
        asked = "models by their own names" if "*" in model else f"{model!r}"
        say(where, f"Likewise does not rename models: callers must ask for {asked}, not {alias!r}")
    elif entry["litellm_params"]["model"] == "*":
        said = "LiteLLM tells vendors apart by a model's name; here OpenAI's upstream takes any"
        say(where, said)


def _upstream(
    name: str, prefix: str, base_url: str, params: Mapping[str, Any], where: Path, say: Say
) -> _Upstream:
    """A new upstream; says what its callers must do otherwise than under LiteLLM."""
    vendor = VENDORS[prefix]
    if vendor.api != "openai":
        own = "/v1/messages" if vendor.api == "anthropic" else "/openai/deployments/..."
        said = (
            f"LiteLLM translates OpenAI's requests for {prefix}; here callers use {own} themselves"
        )
        say((*where, "litellm_params", "model"), said)
    key = _filled(params.get("api_key"))
    if _is_variable(key):
        return _Upstream(name, vendor, base_url, key, "")
    usual = base_url == vendor.base_url or not vendor.base_url
    hint = vendor.variable if usual and (name == prefix or not key) else ""
    if key:
        hint = hint or re.sub(r"\W", "_", name).upper() + "_API_KEY"
        said = "a key in the file is not copied: put it into the environment, and write"
        say((*where, "litellm_params", "api_key"), f"{said} `api_key: ${{{hint}}}`")
    elif hint:
        said = f"LiteLLM takes the key from {hint}; here callers send their own, unless you write"
        say((*where, "litellm_params"), f"{said} `api_key: ${{{hint}}}` for those who send none")
    return _Upstream(name, vendor, base_url, "", hint)


def _filled(value: Any) -> str:
    """A value as text, `os.environ/X` as `${X}`; empty where nothing is written."""
    text = "" if value is None else str(value)
    found = _VARIABLE.fullmatch(text)
    return f"${{{found[1]}}}" if found else text


def _is_variable(text: str) -> bool:
    return re.fullmatch(r"\$\{\w+\}", text) is not None


# -- litellm_settings.cache_params ---------------------------------------------------------------


def _cache(document: Document, say: Say) -> tuple[str, dict[str, str]]:
    """The store's URL (empty: Likewise's own choice) and the keys of `policy.defaults`."""
    switch = ("litellm_settings", "cache")
    if str(document.at(switch)).lower() not in ("true", "yes", "on", "1"):
        said = (
            "LiteLLM remembers nothing here, Likewise does; with `policy: {mode: shadow}` it "
            "decides and records, and always asks upstream"
        )
        say(switch if document.at(switch) is not None else (), said)
        return "", {}
    params = document.at(_CACHE) or {}
    kind = str(params.get("type") or "redis")
    if not kind.endswith("semantic"):
        said = (
            f"LiteLLM's {kind} cache repeats equal requests only, Likewise also answers by "
            "meaning; callers may send `x-likewise-mode: exact`"
        )
        say((*_CACHE, "type"), said)
    store = _store(kind, params, say)
    server = _SERVER_KEYS if store.startswith("redis") else ()
    usual = ("mode",) if params.get("mode") == "default_on" else ()
    known = ("type", *_TTLS, "similarity_threshold", *server, *usual)
    _say_each(params, "cache_params", _CACHE, say, known=known)
    return store, dict(_defaults(params, say))


_TTLS = ("ttl", "default_in_redis_ttl", "default_in_memory_ttl")
_SERVER_KEYS = ("url", "host", "port", "username", "password", "db", "ssl")


def _defaults(params: Mapping[str, Any], say: Say) -> Iterator[tuple[str, str]]:
    written = [name for name in _TTLS if params.get(name) is not None]
    for name in written[1:]:
        say((*_CACHE, name), f"answers have one lifetime; `{written[0]}` is carried over")
    for name in written[:1]:
        try:
            seconds = amounts.duration(params[name])
        except ValueError as fault:
            say((*_CACHE, name), str(fault))
        else:
            yield "ttl", f"{int(seconds)}s" if seconds.is_integer() else repr(seconds)
    if params.get("similarity_threshold") is None:
        return
    try:
        threshold = amounts.unit(params["similarity_threshold"])
    except ValueError as fault:
        say((*_CACHE, "similarity_threshold"), str(fault))
    else:
        said = (
            "carried over as it stands, but chosen for another embedding model: see what it "
            "lets through with `likewise explain`"
        )
        say((*_CACHE, "similarity_threshold"), said)
        yield "threshold", repr(threshold)


def _store(kind: str, params: Mapping[str, Any], say: Say) -> str:
    if kind in ("local", "disk"):
        return _LOCAL_FILE
    if kind in ("redis", "redis-semantic"):
        return _redis(params, say)
    said = f"answers are kept in a local file or in Redis, not in {kind}; a local file is used"
    say((*_CACHE, "type"), said)
    return _LOCAL_FILE


_REDIS = {
    "host": ("", r"[A-Za-z0-9.:_-]{1,253}"),
    "port": ("6379", r"[0-9]{1,5}"),
    "db": ("0", r"[0-9]{1,5}"),
}
"""What stands where nothing is written, and what may be."""


def _redis(params: Mapping[str, Any], say: Say) -> str:
    """The server's URL, its password as a variable; empty, and said why, where it is not told."""
    if params.get("url") is not None:
        return _redis_url(_filled(params["url"]), say)
    if params.get("host") is None:
        said = (
            "the server is named in LiteLLM's environment: Likewise reads REDIS_URL, and "
            "store.url may be made of variables, such as redis://${REDIS_HOST}:${REDIS_PORT}/0"
        )
        say(_CACHE, said)
        return ""
    made: dict[str, str] = {}
    for name, (otherwise, pattern) in _REDIS.items():
        made[name] = _filled(params.get(name)) or otherwise
        if not re.fullmatch(pattern, made[name]) and not _is_variable(made[name]):
            say((*_CACHE, name), "holds something else than expected, so no store is carried over")
            return ""
    host = f"[{made['host']}]" if ":" in made["host"] else made["host"]
    scheme = "rediss" if str(params.get("ssl")).lower() == "true" else "redis"
    user = _filled(params.get("username"))
    user = user if _is_variable(user) else quote(user, safe="")
    key = _password(params.get("password"), "password", say)
    return f"{scheme}://{user}{key}{'@' if user or key else ''}{host}:{made['port']}/{made['db']}"


def _redis_url(url: str, say: Say) -> str:
    """A URL as written, but for a password in it."""
    if _is_variable(url):
        return url
    try:
        parts = urlsplit(url)
        place = parts.netloc.rpartition("@")[2]
    except ValueError:
        place = ""
    if not place or parts.scheme not in ("redis", "rediss"):
        say((*_CACHE, "url"), "is not a URL such as redis://host:6379/0")
        return ""
    key = _password(parts.password, "url", say)
    user = parts.username or ""
    return f"{parts.scheme}://{user}{key}{'@' if user or key else ''}{place}{parts.path}"


def _password(value: Any, name: str, say: Say) -> str:
    """`:${VARIABLE}`, empty where there is no password."""
    text = _filled(value)
    if text and not _is_variable(text):
        said = (
            "a password in the file is not copied: put it into the environment as "
            "REDIS_PASSWORD, percent-encoded where it holds one of / : @ ? # %"
        )
        say((*_CACHE, name), said)
        return ":${REDIS_PASSWORD}"
    return f":{text}" if text else ""


# -- everything else -----------------------------------------------------------------------------


def _say_the_rest(document: Document, say: Say) -> None:
    for section in _SECTIONS:
        written = document.at((section,)) or {}
        known = ("cache", "cache_params") if section == "litellm_settings" else ()
        _say_each(written, section, (section,), say, known=known)
    _say_each(document.value, "", (), say, known=("model_list", "credential_list", *_SECTIONS))


def _say_each(
    written: Mapping[str, Any], part: str, where: Path, say: Say, *, known: tuple[str, ...]
) -> None:
    """One line for each key that holds something and is not `known`."""
    for key, value in written.items():
        if value is not None and key not in known:
            say((*where, key), f"not carried over: {why(part, key)}")


# -- the text ------------------------------------------------------------------------------------


def _text(upstreams: list[_Upstream], store: str, defaults: Mapping[str, str]) -> str:
    lines = ["# Carried over from LiteLLM. `likewise check` validates it."]
    if upstreams:
        lines += ["", "upstreams:", *(line for one in upstreams for line in _lines(one))]
    if store:
        lines += ["", "store:", f"  url: {json.dumps(store)}"]
    if defaults:
        written = [f"    {key}: {value}" for key, value in defaults.items()]
        lines += ["", "policy:", "  defaults:", *written]
    return "\n".join(lines) + "\n"


def _lines(upstream: _Upstream) -> Iterator[str]:
    """JSON's quotes are YAML's too, and keep whatever a name holds what it is."""
    yield f"  - name: {upstream.name}"
    yield f"    api: {upstream.vendor.api}"
    yield f"    base_url: {json.dumps(upstream.base_url)}"
    yield f"    models: {json.dumps(upstream.models, ensure_ascii=False)}"
    if upstream.key:
        yield f"    api_key: {upstream.key}"
    elif upstream.hint:
        yield f"#    api_key: ${{{upstream.hint}}}"
