"""The doors of memory. Embedder, index and store have a fake each, and a suite over all kinds.

Scores are cosine similarities, higher is closer, results best first. Entries are named by their 32
hex digit key.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from policies.values import Facts, Vector


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text's vector (float32, unit length) and what the encoder could not see of the text.

    `truncated`: it was longer than the window, so `vector` must not be compared. `unknown`: it
    held a token the vocabulary lacks.
    """

    vector: Vector
    truncated: bool = False
    unknown: bool = False


class Embedder(Protocol):
    """Text to vector. Blocking and thread-safe; called from the memory's own worker threads."""

    @property
    def id(self) -> str:
        """Model, revision, precision and dimension: vectors of two ids are never compared."""

    @property
    def dimension(self) -> int: ...

    def embed(self, text: str) -> Embedded:
        """One text per call. Raises `EmbedderError` when the model fails."""


class VectorIndex(Protocol):
    """Nearest neighbours among the vectors of one space. Thread-safe."""

    def __len__(self) -> int: ...

    def search(self, vector: Vector, k: int) -> list[tuple[str, float]]:
        """Up to k (entry, cosine in [0, 1]), best first."""


@dataclass(frozen=True, slots=True)
class Record:
    """A stored entry: its facts, the answer's bytes, and its vector unless it is exact only."""

    facts: Facts
    body: bytes
    vector: Vector | None = None


class Revision(NamedTuple):
    """Where one store stands: the number of its latest change."""

    store: str
    number: int


class Sealed(NamedTuple):
    """A record's three columns. `vector` is None for an entry that is matched exactly only."""

    facts: bytes
    vector: bytes | None
    body: bytes


class Revised(NamedTuple):
    """Facts after a change, and the columns that say so; `vector` is None where it stays."""

    known: Facts
    facts: bytes
    vector: bytes | None = None


class Codec(Protocol):
    """A record as the columns that a store writes, and back; `index.codec` is one."""

    def seal(self, record: Record) -> Sealed:
        """Raise `StoreError` for facts that cannot be written."""

    def unseal(self, entry: str, sealed: Sealed) -> Record | None:
        """The record, or None unless every byte is what was written under `entry`."""

    def unseal_facts(self, entry: str, facts: bytes, vector: bytes | None) -> Record | None:
        """The record with its body left out (empty), or None as for `unseal`."""

    def revised(
        self,
        entry: str,
        facts: bytes,
        change: Callable[[Facts], Facts],
        vector: Vector | None = None,
    ) -> Revised | None:
        """What becomes of a record by a change, beside the same body; `vector` comes with it."""


class Bodies(Protocol):
    """Where entries live. Every method raises `StoreError` when the engine fails.

    `shared` says that other processes write here too, so nothing may be answered from a copy.
    `codec` is how records are written and read; nothing is written before it is set.
    """

    shared: bool
    codec: Codec

    async def read(self, entry: str) -> Record | None:
        """The record, or None when absent, damaged or past its `gone` time."""

    async def write(self, record: Record) -> None:
        """Durable when it returns (an operating system crash may lose the last second)."""

    async def amend(
        self, entry: str, change: Callable[[Facts], Facts], vector: Vector | None = None
    ) -> Facts | None:
        """Change a live record's facts in one step, the body untouched; what stands then.

        None where there is none any more: nothing is brought back. `change` must be pure and quick,
        leave `entry` as it is, and may be asked more than once; what it says of `gone` counts. With
        whatever it changes, `vector` takes the place of the record's own.
        """

    async def members(self, group: str) -> list[str]:
        """The entries of an answer group, by what their facts say; some may be gone by now."""

    async def delete(self, entries: Sequence[str]) -> int:
        """How many existed."""

    def scan(self) -> AsyncIterator[Record]:
        """Every live record, bodies left out (empty bytes), for rebuilding the index."""

    async def settle(self, name: str, value: bytes) -> bytes:
        """Keep `value` under `name` if nothing is there yet; return what stands."""

    async def put(self, name: str, value: bytes) -> None:
        """Keep `value` under `name` in place of what is there; names are those of `settle`."""

    async def get(self, name: str) -> bytes | None:
        """What stands under `name`."""

    async def count(self, name: str, until: float) -> int:
        """How often this was asked for `name` before, by anybody; forgotten at `until`."""

    async def mark(self, name: str, members: Mapping[str, float], most: int) -> None:
        """Put members on the list `name`, each at its time; past `most` the oldest leave it."""

    async def unmark(self, name: str, members: Sequence[str]) -> None:
        """Take members off the list `name`."""

    async def marked(self, name: str) -> dict[str, float]:
        """Who stands on the list `name`, and since when."""

    async def revision(self) -> Revision | None:
        """Where the store stands; None where it does not write down what changes, or others change
        it too: then `Others.stands` says how far this process is."""

    async def changed(self, since: Revision) -> list[str] | None:
        """The entries written, amended or deleted after that; None where this is not known, or
        where somebody's word made away with more than the store may tell."""

    async def forget_changes(self, until: Revision) -> None:
        """Nobody will ask any more for what changed until then."""

    async def sweep(self, now: float) -> int:
        """Delete what is past its `gone` time; 0 where the engine does so itself."""

    async def check(self) -> None:
        """Raise `StoreError` with the next step when the store cannot serve."""

    async def close(self) -> None:
        """Flush what is queued and let go."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a store's log of changes. Marks of two epochs cannot be compared."""

    epoch: str
    seq: int


class StepKind(StrEnum):
    """What one change was: entries written or amended; entries deleted; a purge, before which
    nothing counts that was asked for earlier; something learned, as a note says."""

    PUT = "put"
    GONE = "gone"
    FENCE = "fence"
    LEARNED = "learned"


@dataclass(frozen=True, slots=True)
class Step:
    """One change in the log. `seq` grows by one from step to step; `origin` names the process."""

    seq: int
    kind: StepKind
    origin: str
    entries: tuple[str, ...] = ()
    note: bytes = b""


@dataclass(frozen=True, slots=True)
class News:
    """The next steps after a mark, oldest first, and where the log ends.

    `heard`: the others can see that everything up to the mark was taken in here.
    """

    steps: tuple[Step, ...]
    end: Mark
    heard: bool


class Heard(NamedTuple):
    """A reader of the log: up to where it had taken everything in, so many seconds ago."""

    name: str
    seq: int
    seconds: float


class Roll(NamedTuple):
    """The readers of the log of one epoch, by name."""

    epoch: str
    heard: tuple[Heard, ...]


class Log(Protocol):
    """What changed in a store, so that nobody has to read the whole of it again.

    Every method raises `StoreError` when the engine fails, but `tell` and `say`, which try again.
    """

    origin: str

    def tell(self, kind: StepKind, entries: Iterable[str]) -> None:
        """Have the others know, soon."""

    def say(self, note: bytes) -> None:
        """Have the others know what was learned, soon; it may be lost."""

    async def mark(self) -> Mark:
        """Where the log ends now. Everything written before this call lies before the mark."""

    async def since(self, mark: Mark) -> News:
        """What came after `mark`, up to which everything was taken in here; an entry may be named
        by several steps.

        Raises `GapError` when steps after `mark` are lost or `mark` is of another epoch: what is
        known must then be compared with what there is.
        """

    async def changed(self, mark: Mark) -> list[str]:
        """The entries named after `mark`, by a process that has not taken them in.

        Raises `GapError` as `since` does, and where a fence is among the steps.
        """

    async def fence(self) -> Mark:
        """Have the others keep nothing that was asked for before this; where the log says so."""

    async def roll(self) -> Roll:
        """Who reads the log, and how far each has said to be."""

    async def leave(self) -> None:
        """Tell what is left, and be waited for no longer."""


class Shared(Bodies, Protocol):
    """A store that several processes write to."""

    @property
    def log(self) -> Log: ...

    async def look(self, entries: Sequence[str]) -> list[Record | None]:
        """The live records of these entries, bodies left out (empty), in this order."""


class Board(Bodies, Protocol):
    """Where each process that shares a store writes what it tells of itself, sheet by sheet.

    Every method raises `StoreError` when the engine fails.
    """

    async def post(self, owner: str, sheets: Mapping[str, bytes], seconds: float) -> None:
        """Keep each of an owner's sheets under its name for so long, in place of what was there."""

    async def posted(self, owner: str, names: Sequence[str]) -> list[bytes | None]:
        """An owner's sheets in the order of their names, None for what is not there."""


class Notes(Protocol):
    """Short notes under numbers, seen by all that share a store, and gone after a while.

    Every method raises `StoreError` when the engine fails.
    """

    async def note(self, notes: Mapping[int, bytes], seconds: float) -> None:
        """Keep each note for at least `seconds`, however many in one round trip."""

    async def noted(self, number: int) -> bytes | None: ...

    async def ruled(self, number: int, ruling: bytes | None = None) -> bytes | None:
        """The first ruling on a noted number; `ruling` becomes it where there is none yet."""
