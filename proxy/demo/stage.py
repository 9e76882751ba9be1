"""Sets up the show: sample upstream, proxy and dashboard in one process, memory that goes away."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from index.errors import SetupError
from proxy import app
from proxy.demo import show
from proxy.demo.upstream import MODEL, SampleUpstream
from proxy.server import Stop, bind
from proxy.settings import load

if TYPE_CHECKING:
    from rich.console import Console

    from index.embedders.weights import Progress
    from proxy.app import Addresses

POLICY = Path(__file__).with_name("likewise.yaml")


async def play(port: int, admin_port: int, *, progress: Progress, stay: bool, out: Console) -> int:
    """Run the whole demo; 0 when every prompt was answered and no answer was wrong."""
    with tempfile.TemporaryDirectory(prefix="likewise-demo-") as folder:
        sample, address = await _sample()
        env = {
            "DEMO_UPSTREAM": f"{address}/v1",
            "DEMO_STORE": f"sqlite:{folder}/likewise.db",
            **{k: v for k, v in os.environ.items() if k == "LIKEWISE_ADMIN_TOKEN"},
        }
        settings = load(POLICY, env=env, port=_free(port), admin_port=_free(admin_port))
        stop = Stop()
        ready: asyncio.Future[Addresses] = asyncio.get_running_loop().create_future()
        house = asyncio.create_task(
            app.run(settings, progress=progress, on_ready=ready.set_result, stop=stop)
        )
        try:
            waiting: set[asyncio.Future[Any]] = {house, ready}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if house.done():
                return house.result()
            return await _perform(ready.result(), house, stay=stay, out=out)
        finally:
            stop.ask()
            stop.ask()
            await asyncio.gather(house, return_exceptions=True)
            sample.should_exit = True
            with suppress(TimeoutError):
                await asyncio.wait_for(sample.shutdown(), 2)


async def _perform(where: Addresses, house: asyncio.Task[int], *, stay: bool, out: Console) -> int:
    out.print(f"Sample upstream, proxy {where.data}/v1 and dashboard {where.admin} are up.")
    try:
        summary = await show.run(f"{where.data}/v1", where.admin, console=out)
    except show.ShowError as fault:
        raise SetupError(str(fault)) from fault
    out.print(f"Proxy      {where.data}/v1   (any key; the model is {MODEL})", highlight=False)
    out.print(f"Dashboard  {where.admin}   token {where.token}", highlight=False, soft_wrap=True)
    if stay:
        out.print("Still serving: send prompts of your own. Ctrl-C ends the demo.")
        await house
    return 1 if summary.wrong or summary.errors else 0


async def _sample() -> tuple[uvicorn.Server, str]:
    """The sample upstream, listening on a free loopback port."""
    listening = bind("127.0.0.1", 0)
    host, port = listening.getsockname()[:2]
    config = uvicorn.Config(
        SampleUpstream(), lifespan="off", log_config=None, access_log=False, ws="none"
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])
    return server, f"http://{host}:{port}"


def _free(port: int) -> int:
    """The port itself, or 0 (any) when something listens there: a demo should just run."""
    try:
        bind("127.0.0.1", port).close()
    except SetupError:
        return 0
    return port
