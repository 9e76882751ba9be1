"""What one API must be able to say. A new API is one file with this shape and one line in a list.

Pure: parsed bodies and bytes in, values and bytes out. Nothing here may read a clock or a socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from policies.values import Directives

if TYPE_CHECKING:
    from policies.values import AnswerFacts, Owners, Query


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds a body: the caller's digests, the upstream's identity, headers that shape
    the answer (as one byte string), what was asked of the cache, and whether the body may hold a
    number with a fraction."""

    owners: Owners
    upstream: str
    headers: bytes = b""
    directives: Directives = field(default_factory=Directives)
    floats: bool = True


@dataclass(frozen=True, slots=True)
class Form:
    """How the caller wants an answer: as an event stream or one body, with or without usage."""

    stream: bool
    usage: bool


class Dialect(Protocol):
    """One API of the data port."""

    @property
    def name(self) -> str: ...

    @property
    def apis(self) -> frozenset[str]:
        """Upstreams of which kinds take the keys of this API's callers."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths it answers, with and without `/v1`."""

    def end_user(self, body: dict[str, Any]) -> str | None:
        """The end user whom the application names, if it does."""

    def read(self, body: dict[str, Any], frame: Frame) -> Query:
        """A parsed request as the core sees it. Never raises on odd shapes: those bypass."""

    def form(self, body: dict[str, Any]) -> Form: ...

    def wants_json(self, body: dict[str, Any]) -> bool:
        """Whether the answer's content must be JSON to be a good one."""

    def judge(self, answer: bytes, *, streamed: bool, query: Query, strict: bool) -> AnswerFacts:
        """Whether a whole upstream answer is complete and good; `strict` when the content must be
        JSON."""

    def render(self, answer: bytes, *, streamed: bool, form: Form) -> bytes:
        """A stored answer in the caller's form."""

    def ended(self, tail: bytes) -> bool:
        """Whether a stream's last bytes hold the API's own terminal event."""

    def concluded(self, tail: bytes) -> bool:
        """Whether a stream without its terminal event still told its client that it is over."""

    def cut_short(self) -> bytes:
        """The in-band error that ends a stream which upstream left unfinished."""

    def error(self, status: int, message: str, *, code: str, param: str | None = None) -> bytes:
        """An error of ours in this API's envelope."""
