"""The whole configuration of one process: read from a file and the environment, checked, frozen.

What a file may say stands in `proxy.schema` and `policies.config`. Nothing here listens, connects
or looks at the store.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from index import keys
from policies import languages
from policies.checked import parse
from policies.config import read_policy
from policies.document import MAX_BYTES, Document, read
from policies.errors import PolicyError, Problem
from policies.values import JudgeKind
from proxy.limits import Limits
from proxy.schema import ConfigFile, host_name, http_url, store_url

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from policies.values import JudgeRules, Rules
    from proxy.schema import ServerPart

FILE = "likewise.yaml"
NO_FILE = "(no file)"
STORE_KEY = "LIKEWISE_STORE_KEY"
SECRETS = ("LIKEWISE_ADMIN_TOKEN", "LIKEWISE_VIEWER_TOKEN", "LIKEWISE_SECRET", STORE_KEY)
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Secret:
    """Text that shows itself only to who asks for it by `reveal`."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret('***')"

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Tls:
    cert: str
    key: str


@dataclass(frozen=True, slots=True)
class Server:
    host: str
    port: int
    admin_host: str
    admin_port: int
    limits: Limits
    tls: Tls | None = None
    cors: tuple[str, ...] = ()
    access_log: str | None = None


@dataclass(frozen=True, slots=True)
class Upstream:
    """`base_url` without a closing slash; `models` are globs; times in seconds."""

    name: str
    api: str
    base_url: str
    models: tuple[str, ...] = ("*",)
    api_key: Secret | None = None
    passthrough: bool = False
    connect: float = 5.0
    first_byte: float = 600.0
    idle: float = 120.0
    proxy: Secret | None = None
    ca: str | None = None
    pool: str | None = None
    max_parallel: int = 1_000

    @property
    def service(self) -> str:
        """Whose answers these are: those of one pool may stand in for each other, and no others."""
        return f"{self.pool} (pool)" if self.pool else f"{self.name} {self.base_url}"


@dataclass(frozen=True, slots=True)
class Embedding:
    model: str
    runtime: str
    precision: str
    threads: int
    renew: int = 100


@dataclass(frozen=True, slots=True)
class Index:
    max_entries: int
    max_bytes: int
    storage: str
    eviction: str
    tenant_quota: float | None = None
    pca: int | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """`tenants` leads from a key's hash to its tenant. `store_url` may hold a password."""

    server: Server
    upstreams: tuple[Upstream, ...]
    embedding: Embedding
    store_url: str = field(repr=False)
    encrypt: str
    index: Index
    tenants: Mapping[str, str]
    rules: Rules
    source: Path | None = None
    admin_token: Secret | None = None
    viewer_token: Secret | None = None
    secret: Secret | None = None
    store_key: Secret | None = None
    document: Document = field(default_factory=lambda: Document(""), repr=False)

    @property
    def keys(self) -> str | None:
        """The keys under which the store is encrypted; None where it is not."""
        if self.encrypt == "off" or self.store_key is None:
            return None
        return self.store_key.reveal()

    @property
    def watchable(self) -> str:
        """The text of `policy:` that is in force; empty where the built-in policy rules alone."""
        return self.document.section("policy")


# --- reading it


def load(
    path: str | Path | None = None,
    *,
    upstream: str | None = None,
    env: Mapping[str, str],
    host: str | None = None,
    port: int | None = None,
    admin_port: int | None = None,
    access_log: str | None = None,
) -> Settings:
    """Read `path`, else $LIKEWISE_CONFIG, else ./likewise.yaml where there is one, else no file.

    Arguments win over the file, the file over the environment. Raises `PolicyError` with every
    problem, each with its place.
    """
    source = _source(path, env)
    document = read_file(source) if source else Document(NO_FILE, value={})
    value, problems = _with_variables(document, env)
    problems += _bare_secrets(document)
    unset = {(problem.line, problem.path) for problem in problems}
    config = ConfigFile()
    try:
        config = parse(ConfigFile, document, value)
    except PolicyError as error:
        problems += [p for p in error.problems if (p.line, p.path) not in unset]
    problems += _argument_problems(upstream, host, port, admin_port)
    if problems:
        raise PolicyError(sorted(problems, key=lambda p: p.line))
    server = _server(config.server, host, port, admin_port)
    if access_log:
        server = replace(server, access_log=access_log)
    upstreams = _upstreams(config, upstream, env)
    tokens = {name: Secret(env[name]) for name in SECRETS if env.get(name)}
    problems = list(_whole(document, server, upstreams, tokens))
    if problems:
        raise PolicyError(problems)
    rules = _ruled(document, upstreams, config.embedding.model)
    return Settings(
        server=server,
        upstreams=upstreams,
        embedding=Embedding(**config.embedding.model_dump()),
        store_url=_store(config, env),
        encrypt=config.store.encrypt,
        index=Index(**config.index.model_dump()),
        tenants={h: tenant for tenant, hashes in config.tenants.items() for h in hashes},
        rules=rules,
        source=source,
        admin_token=tokens.get("LIKEWISE_ADMIN_TOKEN"),
        viewer_token=tokens.get("LIKEWISE_VIEWER_TOKEN"),
        secret=tokens.get("LIKEWISE_SECRET"),
        store_key=tokens.get(STORE_KEY),
        document=document,
    )


def reread(settings: Settings) -> Settings:
    """Return the settings with `policy:` and `prices:` as the file has them now, the rest as is.

    Raises `PolicyError` on a bad edit; the caller keeps what it has.
    """
    if settings.source is None:
        return settings
    document = read_file(settings.source)
    return replace(
        settings,
        rules=_ruled(document, settings.upstreams, settings.embedding.model),
        document=document,
    )


# What may be changed while the proxy runs.
LIVE = ("policy", "prices")


def redraft(settings: Settings, text: str) -> Settings:
    """Return the settings with `policy:` and `prices:` as a text has them.

    Raises `PolicyError`, also where the text changes anything else.
    """
    document = read(text, str(settings.source or NO_FILE))
    problems = list(_fixed(settings.document, document))
    try:
        rules = _ruled(document, settings.upstreams, settings.embedding.model)
    except PolicyError as error:
        problems += error.problems
    if problems:
        raise PolicyError(sorted(problems, key=lambda problem: problem.line))
    return replace(settings, rules=rules, document=document)


def _fixed(old: Document, new: Document) -> Iterator[Problem]:
    """What a text changes besides the policy."""
    before, after = old.value or {}, new.value or {}
    if not isinstance(after, dict):
        return
    for key in dict.fromkeys((*before, *after)):
        if key not in LIVE and before.get(key) != after.get(key):
            said = (
                f"only {' and '.join(LIVE)} can be changed while the proxy runs; change this in "
                "the file itself and start anew"
            )
            yield new.problem((key,), said)


def read_file(path: Path) -> Document:
    """Parse a configuration file, whatever it holds; raises `PolicyError`."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except FileNotFoundError:
        said = "there is no such file; write one with `likewise init`, or name another with -c"
    except UnicodeDecodeError as error:
        said = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
    except OSError as error:
        said = f"cannot be read: {error.strerror}"
    else:
        return read(text, str(path))
    raise PolicyError([Problem(str(path), 0, "", said)])


def _source(path: str | Path | None, env: Mapping[str, str]) -> Path | None:
    named = path or env.get("LIKEWISE_CONFIG")
    if named:
        return Path(named)
    here = Path(FILE)
    return here if here.exists() else None


def _with_variables(document: Document, env: Mapping[str, str]) -> tuple[Any, list[Problem]]:
    """The document's value with each ${VAR} outside `policy:` filled in; the variables missing."""
    problems: list[Problem] = []

    def fill(value: Any, path: tuple[str | int, ...]) -> Any:
        if path == ("policy",):
            return value
        if isinstance(value, dict):
            return {key: fill(item, (*path, key)) for key, item in value.items()}
        if isinstance(value, list):
            return [fill(item, (*path, i)) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        for name in _VARIABLE.findall(value):
            if not env.get(name):
                said = f"the environment variable {name} is not set; set it, or remove this key"
                problems.append(document.problem(path, said))
        return _VARIABLE.sub(lambda found: env.get(found[1], ""), value)

    return fill(document.value, ()), problems


def _bare_secrets(document: Document) -> Iterator[Problem]:
    """Keys and passwords that stand in the file itself; they are never shown."""
    written = document.at(("upstreams",))
    paths: list[tuple[str | int, ...]] = [("store", "url")]
    for i in range(len(written) if isinstance(written, list) else 0):
        paths.append(("upstreams", i, "proxy"))
        key = document.at(("upstreams", i, "api_key"))
        if key is not None and not (isinstance(key, str) and _VARIABLE.fullmatch(key)):
            said = "must be the name of an environment variable, such as ${OPENAI_API_KEY}"
            yield document.problem(("upstreams", i, "api_key"), said)
    for path in paths:
        found = re.search(r"://[^/@]*:([^/@]+)@", str(document.at(path) or ""))
        if found and not _VARIABLE.search(found[1]):
            said = "holds a password; keep it in the environment: scheme://:${PASSWORD}@host"
            yield document.problem(path, said)


def _argument_problems(
    upstream: str | None, host: str | None, port: int | None, admin_port: int | None
) -> Iterator[Problem]:
    checks: list[tuple[str, Any, Any]] = [
        ("--upstream", upstream, http_url),
        ("--host", host, host_name),
    ]
    for name, value, check in checks:
        try:
            if value is not None:
                check(value)
        except ValueError as error:
            yield Problem(name, 0, "", str(error))
    for name, given in (("--port", port), ("--admin-port", admin_port)):
        if given is not None and not 0 <= given <= 65_535:  # noqa: PLR2004 - the last port
            yield Problem(name, 0, "", f"must be a whole number from 0 to 65,535, got {given}")


def _server(part: ServerPart, host: str | None, port: int | None, admin: int | None) -> Server:
    return Server(
        host=part.host if host is None else host,
        port=part.port if port is None else port,
        admin_host=part.admin.host,
        admin_port=part.admin.port if admin is None else admin,
        limits=Limits(**part.limits.model_dump()),
        tls=Tls(part.tls.cert, part.tls.key) if part.tls else None,
        cors=tuple(part.cors),
        access_log=part.access_log,
    )


def _upstreams(
    config: ConfigFile, given: str | None, env: Mapping[str, str]
) -> tuple[Upstream, ...]:
    """The argument alone where there is one, else the file's, else the environment's."""
    if given or not config.upstreams:
        url = given or env.get("LIKEWISE_UPSTREAM")
        return (bare_upstream(url),) if url else ()
    alone = len(config.upstreams) == 1
    return tuple(
        Upstream(
            name=part.name,
            api=part.api,
            base_url=part.base_url,
            models=tuple(part.models),
            api_key=Secret(part.api_key) if part.api_key else None,
            passthrough=part.passthrough or alone,
            **part.timeout.model_dump(),
            proxy=Secret(part.proxy) if part.proxy else None,
            ca=part.ca,
            pool=part.pool,
            max_parallel=part.max_parallel,
        )
        for part in config.upstreams
    )


def bare_upstream(url: str) -> Upstream:
    """The upstream that a URL alone describes: every model, every path, the caller's key."""
    try:
        base_url = http_url(url)
    except ValueError as error:
        raise PolicyError([Problem("LIKEWISE_UPSTREAM", 0, "", str(error))]) from None
    host = urlsplit(base_url).hostname or ""
    api = "anthropic" if host == "api.anthropic.com" else "openai"
    if host.endswith(".openai.azure.com"):
        api = "azure"
    return Upstream(name="upstream", api=api, base_url=base_url, passthrough=True)


def _store(config: ConfigFile, env: Mapping[str, str]) -> str:
    url = config.store.url or env.get("REDIS_URL") or "sqlite:./.likewise/likewise.db"
    try:
        return store_url(url)
    except ValueError as error:
        raise PolicyError([Problem("REDIS_URL", 0, "", str(error))]) from None


def _ruled(document: Document, upstreams: tuple[Upstream, ...], encoder: str) -> Rules:
    """The policy, which must find its judge's model among the upstreams."""
    rules = replace(read_policy(document), languages=languages.declared(encoder))
    judge = rules.judge
    if judge.kind is not JudgeKind.LLM or judging(judge, upstreams) is not None:
        return rules
    if judge.upstream and all(one.name != judge.upstream for one in upstreams):
        known = ", ".join(one.name for one in upstreams)
        said = f"no upstream is called {judge.upstream!r}; use one of {known}"
    else:
        who = f"upstream {judge.upstream!r}" if judge.upstream else "an upstream"
        said = (
            f"an llm judge needs {who} that serves {judge.model!r} and has an `api_key`; write "
            "`api_key: ${VARIABLE}` there, or name another model or upstream"
        )
    written = document.at(("policy", "judge"))
    key = ("upstream",) if isinstance(written, dict) and "upstream" in written else ()
    raise PolicyError([document.problem(("policy", "judge", *key), said)])


def judging(judge: JudgeRules, upstreams: Iterable[Upstream]) -> Upstream | None:
    """The upstream whose model judges answers: the one that is named, else the first one that
    serves the model; with a key of its own in any case, as no caller pays for it."""
    for one in upstreams:
        meant = judge.upstream in ("", one.name) and one.api_key is not None
        if meant and any(fnmatchcase(judge.model, glob) for glob in one.models):
            return one
    return None


def _whole(
    document: Document,
    server: Server,
    upstreams: tuple[Upstream, ...],
    secrets: Mapping[str, Secret],
) -> Iterator[Problem]:
    """What only the whole can show."""
    if not upstreams:
        said = (
            "no upstream: give --upstream https://api.openai.com/v1 (or LIKEWISE_UPSTREAM), "
            "or write `upstreams:` into a file (`likewise init`) and name it with -c"
        )
        yield document.problem(("upstreams",) if document.value else (), said)
    if document.at(("store", "encrypt")) == "aes-gcm":
        yield from _keyless(document, secrets.get(STORE_KEY))
    if not is_local(server.admin_host) and "LIKEWISE_ADMIN_TOKEN" not in secrets:
        said = (
            f"the admin port would be open to others on {server.admin_host}; set "
            "LIKEWISE_ADMIN_TOKEN, or use 127.0.0.1"
        )
        yield document.problem(("server", "admin", "host"), said)
    given = [secrets[name].reveal() for name in SECRETS[:2] if name in secrets]
    if len(given) > len(set(given)):
        said = "LIKEWISE_VIEWER_TOKEN is the operator's token; give viewers one of their own"
        yield document.problem(("server", "admin"), said)
    if server.port and (server.host, server.port) == (server.admin_host, server.admin_port):
        said = f"the data port and the admin port are both {server.port}; change one"
        yield document.problem(("server", "admin", "port"), said)


def _keyless(document: Document, given: Secret | None) -> Iterator[Problem]:
    """What is wrong with the key of a store that is to be encrypted."""
    if given is None:
        said = f"needs {STORE_KEY} in the environment: make one with openssl rand -base64 32"
        yield document.problem(("store", "encrypt"), said)
        return
    try:
        keys.read(given.reveal())
    except ValueError as error:
        yield Problem(STORE_KEY, 0, "", str(error))


def is_local(host: str) -> bool:
    """Whether only this machine can reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


# --- what is understood, and does nothing as it is written


def notices(settings: Settings) -> list[str]:
    """One line for each category that no request leads to, with what would."""
    document = settings.document
    found = []
    for name, part in (document.at(("policy", "categories")) or {}).items():
        if part and part.get("cache") is not False and not any(part.get(way) for way in _WAYS_IN):
            said = (
                f"only a request with `x-likewise-category: {name}` gets here; "
                f"give it {', '.join(_WAYS_IN)} to be recognised"
            )
            found.append(document.problem(("policy", "categories", name), said))
    return [str(notice) for notice in sorted(found, key=lambda notice: notice.line)]


_WAYS_IN = ("examples", "keywords", "patterns", "models")
