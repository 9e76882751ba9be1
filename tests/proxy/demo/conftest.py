"""A real server for an ASGI app, on a free loopback port."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvicorn


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Any], Awaitable[str]]]:
    """`await serve(app)` gives the address; every server ends with the test."""
    running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def started(app: Any) -> str:
        # Without the protocol's number asyncio leaves Nagle's algorithm on for its connections.
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
        running.append((server, asyncio.create_task(server.serve([listener]))))
        while not server.started:  # noqa: ASYNC110 - uvicorn offers no event for it
            await asyncio.sleep(0.005)
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    yield started
    for server, serving in running:
        server.should_exit = True
        await serving
