"""The smallest possible ASGI server, and the timing of short runs on it."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Callable

from benchmarks.middlewares import GROUPS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

SCOPE: dict[str, Any] = {
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "server": ("127.0.0.1", 8000),
    "client": ("127.0.0.1", 50000),
    "path": "/",
    "raw_path": b"/",
    "root_path": "",
    "query_string": b"",
    "headers": [(b"host", b"127.0.0.1:8000")],
}
WEBSOCKET = {
    **SCOPE,
    "type": "websocket",
    "scheme": "ws",
    "subprotocols": [],
    "extensions": {"websocket.http.response": {}},
}
HTTP = {**SCOPE, "type": "http", "scheme": "http", "method": "GET"}

CONNECT = {"type": "websocket.connect"}
ACCEPT = {"type": "websocket.accept"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000, "reason": ""}


def receiving(messages: Iterable[dict[str, Any]]):
    """A server's `receive` that never waits."""
    messages = iter(messages)

    async def receive():
        return next(messages)

    return receive


async def send(message):
    """A server's `send` that never waits."""


@asynccontextmanager
async def idle_connections(app, connections: int) -> AsyncIterator[None]:
    """Keep this many idle connections open."""
    idle = asyncio.Semaphore(0)
    leave = asyncio.Event()

    async def connection() -> None:
        messages = iter([CONNECT])

        async def receive():
            for message in messages:
                return message
            idle.release()
            await leave.wait()
            return DISCONNECT

        try:
            await app(dict(WEBSOCKET), receive, send)
        finally:
            idle.release()  # even if the app fails, which gather() reports

    tasks = [asyncio.create_task(connection()) for _ in range(connections)]
    for _ in tasks:
        await idle.acquire()
    yield
    leave.set()
    await asyncio.gather(*tasks)


async def idle_app(scope, receive, send):
    await receive()
    await send(ACCEPT)
    await receive()


def least(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the least result of each. They take turns, so that a busy moment of the machine affects all."""
    best = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            best[name] = min(best[name], run())
    return best


def least_of_groups(runs: dict[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Return the least result of each middleware, by its name. Those of a group take turns."""
    best = {}
    for group in GROUPS:
        best.update(least({name: runs[name] for name in group}, rounds))
    return best
