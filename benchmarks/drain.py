"""A drain of open connections. Ratios: error of the end ÷ spread; most in a tenth ÷ a tenth; longest hold ÷ 50 ms."""

from __future__ import annotations

import asyncio
import json
import selectors
import time
from typing import TYPE_CHECKING

from asgi_wsguard import Drainer, WebSocketGuardMiddleware
from benchmarks.drained import holds
from benchmarks.inmemory import idle_app, idle_connections
from benchmarks.memory import raise_file_limit
from benchmarks.middlewares import SERVED
from benchmarks.report import Row, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_HOLD = 0.05
PARTS = 10


def rows(connections: int = 10_000, spread: float = 10.0) -> Iterator[Row]:
    for some in (spread, 0.0):
        yield from results(f"in memory, over {some:g} s", some, *asyncio.run(in_memory(connections, some)))
    if SERVED:
        sockets = min(connections, raise_file_limit() - 100)
        for some in (spread, 0.0):
            yield from results(f"uvicorn, over {some:g} s", some, *through_uvicorn(sockets, some))


def results(where: str, spread: float, seconds: float, longest: float, closed_at: list[float]) -> Iterator[Row]:
    if spread:
        yield Row(f"{where}: done after", f"{seconds:.2f} s", abs(seconds - spread) / spread, 0.1)
        most = max(sum(part <= PARTS * when / spread < part + 1 for when in closed_at) for part in range(PARTS))
        yield Row(f"{where}: most in a tenth", f"{most:,}", most * PARTS / len(closed_at), 1.1)
    else:
        yield Row(f"{where}: done after", f"{seconds:.2f} s")
    yield Row(f"{where}: longest hold", duration(longest), longest / LONGEST_HOLD, 1)


async def in_memory(connections: int, spread: float) -> tuple[float, float, list[float]]:
    """Return how long the drain took, the longest hold of the event loop, and when each connection ended."""
    drainer = Drainer(grace=0, spread=spread)
    ended_at: list[float] = []

    async def app(scope, receive, send):
        await idle_app(scope, receive, send)
        ended_at.append(time.perf_counter() - start)

    async with idle_connections(WebSocketGuardMiddleware(app, drainer=drainer), connections), holds() as seen:
        start = time.perf_counter()
        drained = await drainer.drain()
        seconds = time.perf_counter() - start
        assert drained.closed == connections
    return seconds, seen.longest, ended_at


def through_uvicorn(sockets: int, spread: float) -> tuple[float, float, list[float]]:
    """The same, with real clients."""
    from benchmarks.uvicorn import Server

    closed_at: list[float] = []
    with Server("benchmarks.drained:app") as server, selectors.DefaultSelector() as selector:
        for _ in range(sockets):
            client = server.socket()
            server.handshake(client, "/")
            selector.register(client, selectors.EVENT_READ)
        start = time.perf_counter()
        server.http.request("GET", f"/drain/{spread}")
        while selector.get_map():
            for key, _ in selector.select(timeout=spread + 60):
                closed_at.append(time.perf_counter() - start)
                selector.unregister(key.fileobj)
                key.fileobj.close()
        told = json.load(server.http.getresponse())
        assert told["closed"] == sockets
    return told["seconds"], told["longest"], closed_at
