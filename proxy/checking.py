"""`likewise check` beyond the text: do the store and the embedder answer, is the house whole?"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING

import index
import policies
from index import build
from index.errors import MemoryFault
from index.stores.redis import RedisBodies
from policies import text
from policies.category import MARGIN, centroids, twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from index.embedders.weights import Progress
    from index.ports import Embedder
    from proxy.settings import Settings


def answers(settings: Settings, progress: Progress) -> Iterator[tuple[bool, str]]:
    """Each part with whether it is good and what was seen, one line each."""
    yield True, f"configuration {settings.source or '(built in)'}: policy {settings.rules.version}"
    yield _house()
    yield asyncio.run(_store(settings))
    yield from _embedder(settings, progress)


def _house() -> tuple[bool, str]:
    """Another distribution may install packages of the same top-level names over ours."""
    roots = {Path(package.__file__ or "").parent.parent for package in (policies, index)}
    roots.add(Path(__file__).parent.parent)
    if len(roots) == 1:
        return True, f"installation in {roots.pop()}"
    said = "another package lies over Likewise's; install it in an environment of its own"
    return False, f"installation: {said}: {', '.join(map(str, roots))}"


async def _store(settings: Settings) -> tuple[bool, str]:
    shown = settings.store_url.rpartition("@")[2]
    try:
        store = await build.opened(settings.store_url, clock=time.time, keys=settings.keys)
    except MemoryFault as fault:
        return False, str(fault)
    bodies = store.bodies
    warned = bodies.warnings() if isinstance(bodies, RedisBodies) else []
    await bodies.close()
    return True, "; ".join([f"store {shown}", *warned])


def _embedder(settings: Settings, progress: Progress) -> Iterator[tuple[bool, str]]:
    wanted = settings.embedding
    try:
        made = build.embedder(
            wanted.model,
            runtime=wanted.runtime,
            precision=wanted.precision,
            threads=wanted.threads,
            progress=progress,
        )
        started = time.perf_counter()
        made.embed("does the embedder answer")
        took = (time.perf_counter() - started) * 1000
        yield True, f"embedder {made.id}: {took:.1f} ms a text"
        yield from _categories(settings, made)
    except MemoryFault as fault:
        yield False, str(fault)


def _categories(settings: Settings, embedder: Embedder) -> Iterator[tuple[bool, str]]:
    """Whether the categories' examples can be told apart by this model."""
    wanted = {c.name: c.examples for c in settings.rules.categories if c.examples}
    vectors = {
        name: [embedder.embed(text.normalise(example)).vector for example in examples]
        for name, examples in wanted.items()
    }
    near = twins(centroids(vectors))
    for one, other, score in near:
        place = settings.document.problem(
            ("policy", "categories", other, "examples"),
            f"too near to those of `{one}` to tell the two apart (cosine {score:.3f}, at most "
            f"{1 - MARGIN:g}); choose others, or make the two one category",
        )
        yield False, str(place)
    if wanted and not near:
        yield True, f"examples of {', '.join(wanted)} can be told apart"
