"""The part that runs every official client over every case."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from rich.progress import Progress

from tests.conformance.cases import PATHS, of_api
from tests.conformance.course import WAYS, Course
from tests.conformance.generated.listing import generated
from tests.conformance.matrix import Matrix
from tests.conformance.recorded import recorded
from tests.conformance.runners import CLIENTS, RunnerError, running
from tests.conformance.upstream import Replay
from tests.proxy.house import serving, uvicorn_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import Console

    from tests.conformance.cases import Case
    from tests.conformance.runners import Client

# Streams of each API that are broken off, for each client.
CUT = 8
QUESTION = b'{"model": "gpt-4o-mini"}'


def run(console: Console, names: Collection[str], *, seed: int, share: float) -> bool:
    """Print the matrix; False where anything differs."""
    cases = _cases(console, seed, share)
    matrix, replay = Matrix(), Replay()
    with (
        tempfile.TemporaryDirectory() as folder,
        uvicorn_of(replay) as upstream,
        serving(Path(folder), upstream) as house,
    ):
        cached = _cached(house.where.data)
        for client in CLIENTS:
            why = client.absent() if not names or client.name in names else "not asked for"
            if why:
                console.print(f"skipped: {client.name}: {why}")
                continue
            places = (replay, upstream, house.where.data, cached)
            _through(console, client, places, cases, matrix)
    for table in matrix.tables():
        console.print(table)
    for line in matrix.report():
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return not matrix.found


def _cases(console: Console, seed: int, share: float) -> list[Case]:
    made, rows = generated(seed, share), recorded()
    if rows.absent:
        console.print(f"skipped: recorded exchanges: {rows.absent}")
    else:
        console.print(f"{len(rows.cases)} recorded exchanges, {len(made)} generated answers")
    for why, count in Counter(why for _, why in rows.left_out).items():
        console.print(f"skipped: {count} recorded: {why}")
    return [*rows.cases, *made]


def _cached(proxy: str) -> frozenset[str]:
    """The APIs that Likewise takes part in: those whose answers say so."""
    found = set()
    with httpx.Client(trust_env=False, headers={"authorization": "Bearer sk-probe"}) as client:
        for api, path in PATHS.items():
            answer = client.post(proxy + path, content=QUESTION)
            if "cache-status" in answer.headers:
                found.add(api)
    return frozenset(found)


def _through(
    console: Console,
    client: Client,
    places: tuple[Replay, str, str, frozenset[str]],
    cases: list[Case],
    matrix: Matrix,
) -> None:
    mine = [case for api in client.apis for case in of_api(cases, api)]
    broken = [
        case
        for api in client.apis
        for case in of_api(cases, api)
        if case.stored and case.recording.stream and case.recording.whole
    ]
    shown = Progress(console=console, transient=True, disable=not console.is_terminal)
    with running(client) as runner, shown as progress:
        course = Course(client.name, runner, *places)
        bar = progress.add_task(client.name, total=len(mine))
        try:
            for case in mine:
                for check in course.run(case):
                    matrix.add(client.name, case.api, check)
                progress.advance(bar)
            for number, case in enumerate(_some(broken, client.apis)):
                for check in course.cut(case, WAYS[number % len(WAYS)]):
                    matrix.add(client.name, case.api, check)
        except RunnerError as fault:
            matrix.found.append(f"{client.name}: its process ended: {fault}")


def _some(cases: list[Case], apis: tuple[str, ...]) -> list[Case]:
    return [case for api in apis for case in of_api(cases, api)[:CUT]]
