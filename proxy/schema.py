"""What a configuration file may say, section by section, and what each value must look like.

`policy:` and `prices:` are `policies.config`'s. What only the whole can show (is there an upstream,
is the admin port guarded) is asked in `proxy.settings`.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, field_validator

from policies.checked import Fault, Fraction, Section, SomeBytes, SomeTime, Word, number
from policies.config import PolicyFile
from proxy.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

_REDIS = ("redis", "rediss")
STORES = (
    "sqlite",
    *_REDIS,
    *(f"{scheme}+{way}" for way in ("cluster", "sentinel") for scheme in _REDIS),
    "unix",
)
_PLACES = {"sqlite": "a file: sqlite:./.likewise/likewise.db", "unix": "a file: unix:///path"}
_HASH = re.compile(r"(?:[a-z0-9-]+:)?[0-9a-f]{32,128}")
_LIMITS = Limits()


def host_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]{1,253}", value):
        raise ValueError("must be an address or a host name such as 127.0.0.1 or 0.0.0.0")
    return value


def http_url(value: str) -> str:
    """Return the URL without a closing slash; refuse what could send a caller's key elsewhere."""
    try:
        parts = urlsplit(value)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise Fault("is not a URL; write http://host/path or https://host/path") from None
    if parts.scheme not in ("http", "https") or not host:
        raise Fault("must be a URL that begins with http:// or https:// and names a host")
    if parts.username is not None or parts.password is not None:
        raise Fault("must not hold a user or a password; use api_key: ${VARIABLE}")
    if parts.query or parts.fragment or "?" in value or "#" in value:
        raise Fault("must not have a query or a fragment; end it with the path, such as /v1")
    if port == 0 or "\\" in value or not value.isascii() or re.search(r"[\s\x00-\x20\x7f]", value):
        raise Fault("holds a character or a port that no upstream URL has; write it plainly")
    return value.rstrip("/")


def _proxy_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Fault("must be a URL that begins with http:// or https:// and names a host")
    return value


def store_url(value: str) -> str:
    scheme, colon, rest = value.partition(":")
    if not colon or scheme not in STORES:
        raise Fault(f"must begin with one of {', '.join(f'{s}:' for s in STORES)}")
    if not rest.strip("/"):
        raise Fault(f"does not say where; name {_PLACES.get(scheme, 'a host')}")
    if scheme == "unix" and not rest.startswith("///"):
        raise Fault("must look like unix:///path")
    if scheme not in _PLACES and not (rest.startswith("//") and urlsplit(value).netloc):
        raise Fault(f"must look like {scheme}://host:6379/0")
    return value


def _origin(value: str) -> str:
    if value != "*" and not re.fullmatch(r"https?://[^/?#@\s]+", value):
        raise ValueError("must be an origin such as https://app.example.com, or *")
    return value


def _some(values: list[str]) -> list[str]:
    if not values:
        raise ValueError('must name at least one; ["*"] stands for all')
    return values


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise Fault("is not a key's hash; make one with `likewise hash-key` (never put a key here)")
    return value


Port = Annotated[int, *number(0, 65_535, whole=True)]
Host = Annotated[str, AfterValidator(host_name)]
Count = Annotated[int, *number(1, 1_000_000_000, whole=True)]
HttpUrl = Annotated[str, AfterValidator(http_url)]


class AdminPart(Section):
    host: Host = "127.0.0.1"
    """Another address than this machine's own needs LIKEWISE_ADMIN_TOKEN."""
    port: Port = 8081


class LimitsPart(Section):
    body: SomeBytes = _LIMITS.body
    response: SomeBytes = _LIMITS.response
    """A larger answer is passed on, not stored."""
    headers: SomeBytes = _LIMITS.headers
    in_flight: SomeBytes = _LIMITS.in_flight
    """Bytes of requests and answers under way, over all connections."""
    header_count: Annotated[int, *number(1, 10_000, whole=True)] = _LIMITS.header_count
    header_timeout: SomeTime = _LIMITS.header_timeout
    body_timeout: SomeTime = _LIMITS.body_timeout
    idle_timeout: SomeTime = _LIMITS.idle_timeout
    send_timeout: SomeTime = _LIMITS.send_timeout
    connections: Annotated[int, *number(1, 1_000_000, whole=True)] = _LIMITS.connections
    """More at once are refused."""
    key_calls: Annotated[int, *number(1, 1_000_000, whole=True)] | None = _LIMITS.key_calls
    """Calls upstream that one key may have under way."""
    key_misses: Annotated[int, *number(1, 1_000_000_000, whole=True)] | None = _LIMITS.key_misses
    """Requests a minute of one key that go upstream."""
    grace: SomeTime = _LIMITS.grace
    """After SIGTERM requests are still taken, so that load balancers notice."""
    drain: SomeTime = _LIMITS.drain
    """How long answers under way may take after a stop signal."""


class TlsPart(Section):
    cert: Word
    key: Word


class ServerPart(Section):
    host: Host = "127.0.0.1"
    port: Port = 8080
    admin: AdminPart = AdminPart()
    limits: LimitsPart = LimitsPart()
    tls: TlsPart | None = None
    cors: list[Annotated[str, AfterValidator(_origin)]] = Field(default=[])
    access_log: Word | None = None
    """A file that gets a JSON line for each request; `-` for standard output."""


class TimeoutPart(Section):
    connect: SomeTime = 5.0
    first_byte: SomeTime = 600.0
    idle: SomeTime = 120.0


class UpstreamPart(Section):
    name: Word
    api: Literal["openai", "anthropic", "azure"] = "openai"
    """Whose paths and keys this upstream takes."""
    base_url: HttpUrl
    models: Annotated[list[Word], AfterValidator(_some)] = Field(default=["*"])
    """Model names, `*` stands for anything; the first upstream that matches serves."""
    api_key: Word | None = None
    """Only as ${VARIABLE}; used only where the caller sends no key."""
    passthrough: bool = False
    """Takes the paths that name no model."""
    timeout: TimeoutPart = TimeoutPart()
    proxy: Annotated[str, AfterValidator(_proxy_url)] | None = None
    ca: Word | None = None
    pool: Word | None = None
    """Upstreams of one pool are one service at several addresses: they stand in for each other."""
    max_parallel: Annotated[int, *number(1, 1_000_000, whole=True)] = 1_000
    """Calls at once; others wait for two seconds at most."""


class EmbeddingPart(Section):
    model: Word = "all-MiniLM-L6-v2"
    runtime: Literal["onnx", "torch"] = "onnx"
    precision: Literal["int8", "fp32"] = "int8"
    threads: Annotated[int, *number(1, 256, whole=True)] = 1
    renew: Annotated[int, *number(0, 100_000, whole=True)] = 100
    """Entries of another model that are embedded anew each second, behind the requests; 0: none."""


class StorePart(Section):
    url: Annotated[str, AfterValidator(store_url)] | None = None
    encrypt: Literal["off", "aes-gcm"] = "off"


class IndexPart(Section):
    max_entries: Count = 1_000_000
    max_bytes: SomeBytes = 4_000_000_000
    storage: Literal["float32", "float16", "int8"] = "int8"
    eviction: Literal["lru", "lfu", "gdsf", "lec"] = "gdsf"
    tenant_quota: Fraction | None = None
    """Share of `max_entries` that one key, or one tenant, may hold."""
    pca: Annotated[int, *number(8, 4096, whole=True)] | None = None
    """Dimensions to keep."""


class ConfigFile(PolicyFile):
    """Configuration of Likewise."""

    model_config = ConfigDict(extra="forbid", title="likewise.yaml")

    server: ServerPart = ServerPart()
    upstreams: list[UpstreamPart] = Field(default=[])
    embedding: EmbeddingPart = EmbeddingPart()
    store: StorePart = StorePart()
    index: IndexPart = IndexPart()
    tenants: dict[Word, list[Annotated[Any, AfterValidator(_hash)]]] = Field(default={})

    @field_validator("upstreams")
    @classmethod
    def _distinct(cls, parts: list[UpstreamPart]) -> list[UpstreamPart]:
        for place, name in _repeated([part.name for part in parts]):
            raise Fault(f"another upstream is called `{name}`; give each its own", place, "name")
        for place, _ in _repeated(["yes" for part in parts if part.passthrough]):
            at = [i for i, part in enumerate(parts) if part.passthrough][place]
            raise Fault("only one upstream can take the other paths", at, "passthrough")
        for place, part in enumerate(parts):
            first = next(mate for mate in parts if mate.pool == part.pool)
            if part.pool and part.api != first.api:
                said = f"pool `{part.pool}` takes {first.api} keys, as of `{first.name}`"
                raise Fault(said, place, "pool")
        return parts

    @field_validator("tenants")
    @classmethod
    def _one_tenant_each(cls, tenants: dict[str, list[str]]) -> dict[str, list[str]]:
        owners = [(name, i, h) for name, hashes in tenants.items() for i, h in enumerate(hashes)]
        for place, _ in _repeated([h for _, _, h in owners]):
            name, i, _ = owners[place]
            raise Fault("this hash stands twice; a key belongs to one tenant", name, i)
        return tenants


def _repeated(words: list[str]) -> Iterator[tuple[int, str]]:
    seen: Counter[str] = Counter()
    for place, word in enumerate(words):
        seen[word] += 1
        if seen[word] > 1:
            yield place, word
