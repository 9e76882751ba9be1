"""How the parts of this process are: for the health page, and whoever asks what is wrong."""

from __future__ import annotations

import json
import shutil
import time
from hashlib import sha256
from importlib.metadata import version
from statistics import median
from typing import TYPE_CHECKING, Any

from index import build
from index.journal import RING

if TYPE_CHECKING:
    from pathlib import Path

    from index.memory import Memory
    from policies.record import Decision
    from proxy.engine import Engine
    from proxy.settings import Settings
    from proxy.upkeep import Upkeep

STARTED = time.time()


async def condition(engine: Engine, settings: Settings, upkeep: Upkeep) -> dict[str, Any]:
    """Raises `StoreError` where the journal cannot say."""
    memory, journal, faults = engine.memory, engine.journal, engine.memory.faults
    others = memory.fences.others
    return {
        "version": version("likewise"),
        "uptime": time.time() - STARTED,
        "ready": upkeep.ready,
        "state": upkeep.readiness()[1],
        "policy": policy(upkeep.settings),
        "entries": len(memory),
        "entry_bytes": memory.size,
        "entries_to_renew": memory.catalog.unread,
        "store": settings.store_url.rpartition("@")[2],
        "store_missing": memory.missing,
        "store_faults": {"read": faults.store_read, "write": faults.store_write},
        "index": index(memory),
        "embedder": memory.embedder.id,
        "embedder_faults": {"failed": faults.embed, "late": faults.embed_timeout},
        "embedder_queue": memory.sight.queued,
        "embedder_stalled": memory.sight.stalled,
        "embedder_ms": embedding(await journal.recent(RING)),
        "last_faults": dict(faults.last),
        "journal": {
            "dropped": journal.dropped,
            "faults": journal.faults,
            "missing": journal.missing,
        },
        "upstreams": [u.name for u in settings.upstreams],
        "upstreams_failing": engine.upstreams.breakers.open,
        "disk": disk(build.home(settings.store_url)),
        "replicas": [one._asdict() for one in await others.roll()] if others else [],
    }


def policy(settings: Settings) -> str:
    """A digest of what is written of the policy in force, to be compared with other replicas'."""
    written = [settings.document.at((part,)) for part in ("policy", "prices")]
    return sha256(json.dumps(written, sort_keys=True, default=str).encode()).hexdigest()[:8]


def index(memory: Memory) -> dict[str, int]:
    """`dead` are rows of removed entries that wait for their space to be built anew."""
    spaces = memory.catalog.spaces
    return {
        "vectors": spaces.searched,
        "spaces": len(spaces),
        "dead": spaces.dead,
        "bytes": spaces.used,
        "reserved": spaces.nbytes,
    }


def embedding(rows: list[Decision]) -> float | None:
    """Milliseconds that an embedding took of late, in the middle; None where there was none."""
    times = [row.ms_embed for row in rows if row.ms_embed > 0]
    return round(median(times), 3) if times else None


def disk(home: Path) -> dict[str, int] | None:
    """Of the folder with this node's own files; None where it cannot be asked."""
    try:
        usage = shutil.disk_usage(home)
    except OSError:
        return None
    return {"free": usage.free, "total": usage.total}
