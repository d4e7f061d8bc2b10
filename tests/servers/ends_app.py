"""The app of test_ends.py: idle websockets, and an HTTP request that ends the process, as its path says."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, NoReturn

import anyio

from asgi_wsguard import Drainer, WebSocketGuardMiddleware

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import Receive, Scope, Send

ahead = anyio.Event()
"""The guard receives ahead of the app that waits for something else."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        if scope["path"] == "/receives":
            await receive()
        await anyio.sleep_forever()
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
        if scope["path"] != "/":
            end(scope["path"])
    else:
        while True:
            await send({"type": f"{(await receive())['type']}.complete"})


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def end(path: str) -> None:
    """End the server: on asyncio not in this task, which keeps what it raises to itself."""
    if path == "/trio-interrupt":
        interrupt()
    loop = asyncio.get_running_loop()
    loop.call_soon({"/stop": loop.stop, "/exit": sys.exit, "/interrupt": interrupt}[path])


LIMITS = dict.fromkeys(("idle_timeout", "max_lifetime", "send_timeout", "cleanup_timeout"), 60.0)
_guarded = WebSocketGuardMiddleware(app, **LIMITS, drainer=Drainer())


async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] != "/":
        await ahead.wait()
    messages = 0

    async def noted() -> dict[str, object]:
        nonlocal messages
        messages += 1
        if messages == 2:
            ahead.set()
        return await receive()

    await _guarded(scope, noted if scope.get("path") == "/waits" else receive, send)


bare = app
