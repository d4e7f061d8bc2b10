"""The app that uvicorn serves for the drain. `GET /drain/SECONDS` drains it, and returns the measurements."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asgi_wsguard import Drainer, WebSocketGuardMiddleware
from benchmarks.served import echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TICK = 0.001


class Holds:
    """The longest time that the event loop was blocked."""

    longest = 0.0


@asynccontextmanager
async def holds() -> AsyncIterator[Holds]:
    """Watch the event loop with a timer that should fire every millisecond."""
    seen = Holds()

    async def watch() -> None:
        while True:
            start = time.perf_counter()
            await asyncio.sleep(TICK)
            seen.longest = max(seen.longest, time.perf_counter() - start - TICK)

    task = asyncio.create_task(watch())
    await asyncio.sleep(TICK)
    yield seen
    task.cancel()


drainer = Drainer(grace=0)
guarded = WebSocketGuardMiddleware(echo, drainer=drainer)


async def control(scope, receive, send):
    told: dict[str, float] = {}
    if scope["path"].startswith("/drain/"):
        async with holds() as seen:
            start = time.perf_counter()
            drained = await drainer.drain(spread=float(scope["path"].rpartition("/")[2]))
            told = {"seconds": time.perf_counter() - start, "longest": seen.longest, "closed": drained.closed}
    body = json.dumps(told).encode()
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await guarded(scope, receive, send)
    elif scope["type"] == "http":
        await control(scope, receive, send)
