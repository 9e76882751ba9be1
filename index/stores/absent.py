"""A store that is not there as yet: its disk has no room. Holds nothing, and says so each time."""
# ruff: noqa: ARG002 - what is asked for makes no difference

from __future__ import annotations

from typing import TYPE_CHECKING

from index import codec
from index.errors import NoRoomError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from index.ports import Codec, Record, Revision
    from policies.values import Facts, Vector


class AbsentBodies:
    """The `Bodies` port over nothing. `why` is what stands in its way, with the next step."""

    shared = False

    def __init__(self, why: str) -> None:
        self.codec: Codec = codec
        self.why = why

    async def read(self, entry: str) -> Record | None:
        raise self._fault()

    async def write(self, record: Record) -> None:
        raise self._fault()

    async def amend(
        self, entry: str, change: Callable[[Facts], Facts], vector: Vector | None = None
    ) -> Facts | None:
        raise self._fault()

    async def members(self, group: str) -> list[str]:
        raise self._fault()

    async def delete(self, entries: Sequence[str]) -> int:
        raise self._fault()

    def scan(self) -> AsyncIterator[Record]:
        raise self._fault()

    async def settle(self, name: str, value: bytes) -> bytes:
        raise self._fault()

    async def put(self, name: str, value: bytes) -> None:
        raise self._fault()

    async def get(self, name: str) -> bytes | None:
        raise self._fault()

    async def count(self, name: str, until: float) -> int:
        raise self._fault()

    async def mark(self, name: str, members: Mapping[str, float], most: int) -> None:
        raise self._fault()

    async def unmark(self, name: str, members: Sequence[str]) -> None:
        raise self._fault()

    async def marked(self, name: str) -> dict[str, float]:
        raise self._fault()

    async def revision(self) -> Revision | None:
        raise self._fault()

    async def changed(self, since: Revision) -> list[str] | None:
        raise self._fault()

    async def forget_changes(self, until: Revision) -> None:
        raise self._fault()

    async def sweep(self, now: float) -> int:
        raise self._fault()

    async def check(self) -> None:
        raise self._fault()

    async def close(self) -> None:
        """Nothing is held."""

    def _fault(self) -> NoRoomError:
        return NoRoomError(self.why)
