"""What one API must be able to say. A new API is one file with this shape and one line in a list.

Pure: parsed bodies and bytes in, values and bytes out. Nothing here may read a clock or a socket.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from policies.values import Directives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from policies.values import AnswerFacts, Owners, Query
    from proxy.sse import Event


@dataclass(frozen=True, slots=True)
class Frame:
    """What surrounds a body: the caller's digests, the upstream's identity, headers that shape
    the answer (as one byte string), what was asked of the cache, whether the body may hold a
    number with a fraction, and the model where the path names it (Azure's deployments)."""

    owners: Owners
    upstream: str
    headers: bytes = b""
    directives: Directives = field(default_factory=Directives)
    floats: bool = True
    deployment: str = ""


@dataclass(frozen=True, slots=True)
class Form:
    """How the caller wants an answer: as an event stream or one body, with or without usage.

    `alias` replaces the answer's own id where that is not this caller's to use (empty: keep it).
    `echo` are fields of this request that its answer repeats, as JSON: they are the caller's own.
    """

    stream: bool
    usage: bool
    alias: str = ""
    echo: tuple[tuple[str, bytes], ...] = ()


class Ending(StrEnum):
    """What a stream that has no terminal event told its client before it ended."""

    SILENT = "silent"
    FINISHED = "finished"
    """Why the model stopped: nothing of the content is missing."""
    FAILED = "failed"
    """An error."""


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
        """A parsed request as the core sees it. Odd shapes bypass, and upstream judges them.

        Raises `BadBody` only for a reference to what Likewise itself made up (an alias).
        """

    def form(self, body: dict[str, Any]) -> Form: ...

    def wants_json(self, body: dict[str, Any]) -> bool:
        """Whether the answer's content must be JSON to be a good one."""

    def judge(self, answer: bytes, *, streamed: bool, query: Query, strict: bool) -> AnswerFacts:
        """Whether a whole upstream answer is complete and good; `strict` when the content must be
        JSON."""

    def render(self, answer: bytes, *, streamed: bool, form: Form) -> bytes:
        """A stored answer in the caller's form."""

    def said(self, answer: bytes, *, streamed: bool) -> str | None:
        """A whole good answer's text, for comparing; None where it holds anything else, or several.

        May raise what `render` does.
        """

    def ended(self, event: Event) -> bool:
        """Whether this is the API's own terminal event of a good answer. Asked for each event, so
        cheap."""

    def concluded(self, last: Sequence[Event]) -> Ending:
        """What the last few events of a stream without its terminal event said."""

    def cut_short(self, last: Sequence[Event]) -> bytes:
        """The in-band error that ends a stream which upstream left unfinished after `last`."""

    def error(self, status: int, message: str, *, code: str, param: str | None = None) -> bytes:
        """An error of ours in this API's envelope."""
