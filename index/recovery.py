"""A catalog out of a snapshot, brought up to what the store says now; and snapshots of a catalog.

A snapshot is taken while entries come and go, and may tell anything of those that do. So it begins
with the store's revision, and what has changed since is read from the store: nothing that was
deleted comes back, nothing that was written is missing.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

from index.errors import StoreError
from index.ports import Record, Revision
from index.snapshot import Files, Reader, SnapshotError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from index.catalog import Catalog
    from index.pool import Pool
    from index.ports import Bodies

LOG = logging.getLogger("likewise.recovery")
# With fewer changes than this the store itself is read quickly enough.
WORTH = 1_000
# Entries that are read from the store before others have their turn.
FEW = 32


class Recovery:
    """Snapshots of one process. `kept` says of what: another encoder's are of no use."""

    def __init__(self, files: Files, kept: Mapping[str, Any]) -> None:
        self._files = files
        self._kept = dict(kept)
        self._revision: Revision | None = None
        self._lock = Lock()
        self._discards = 0

    async def recover(self, bodies: Bodies, blank: Callable[[], Catalog]) -> Catalog | None:
        """The entries as the store has them now; None where no snapshot is of use.

        Raises `StoreError`.
        """
        for path in self._files.paths:
            try:
                return await self._recovered(bodies, path, blank())
            except FileNotFoundError:
                continue
            except StoreError:
                raise
            except Exception as fault:  # noqa: BLE001 - whatever is wrong with it, there is the store
                LOG.warning("%s is not used: %s", path.name, fault)
        return None

    async def save(
        self,
        stands: Callable[[], Awaitable[Revision | None]],
        bodies: Bodies,
        catalog: Catalog,
        pool: Pool,
    ) -> None:
        """Write a snapshot in the background; a fault is told, and the one before stays.

        `stands` says up to where the catalog knows all changes of the store.
        """
        try:
            revision = await stands()
            if revision is None:
                return
            changes, discards = catalog.changes, self._discards
            await pool.whenever(self._write, catalog, revision, discards)
            catalog.changes -= changes
            # The one before must be able to catch up as well.
            if self._revision is not None:
                await bodies.forget_changes(self._revision)
            self._revision = revision
        except (OSError, StoreError) as fault:
            LOG.warning("no snapshot of the index: %s", fault)
        except Exception:
            LOG.exception("no snapshot of the index")

    def discard(self) -> None:
        """Remove the snapshots, and the one under way: they tell of what is to be forgotten."""
        with self._lock:
            self._discards += 1
            with suppress(OSError):
                self._files.discard()

    def _write(self, catalog: Catalog, revision: Revision, discards: int) -> None:
        with self._files.writing() as (out, finish):
            catalog.save(out)
            out.close(self._kept | {"revision": list(revision)})
            with self._lock:
                if discards == self._discards:
                    finish()

    async def _recovered(self, bodies: Bodies, path: Path, catalog: Catalog) -> Catalog:
        with path.open("rb") as file:
            source = await asyncio.to_thread(Reader, file)
            meta = dict(source.meta)
            revision = Revision(*meta.pop("revision"))
            if meta != self._kept:
                raise SnapshotError(f"it is of {meta}, not {self._kept}")
            changed = await bodies.changed(revision)
            if changed is None:
                # It will be of no use later on either, and may tell of what was purged.
                await asyncio.to_thread(path.unlink, missing_ok=True)
                raise SnapshotError("the store does not know what has changed since")
            await asyncio.to_thread(catalog.restore, source)
        await _catch_up(bodies, catalog, changed)
        catalog.changes, self._revision = len(changed), revision
        return catalog


async def _catch_up(bodies: Bodies, catalog: Catalog, changed: Sequence[str]) -> None:
    for start in range(0, len(changed), FEW):
        some = changed[start : start + FEW]
        records = await asyncio.gather(*map(bodies.read, some))
        catalog.drop(e for e, record in zip(some, records, strict=True) if record is None)
        _hold(catalog, [record for record in records if record is not None])
        await asyncio.sleep(0)


def _hold(catalog: Catalog, records: Sequence[Record]) -> None:
    for record in records:
        catalog.hold(record.facts)
    placed = [r for r in records if r.vector is not None]
    catalog.place([r.facts for r in placed], [r.vector for r in placed if r.vector is not None])
