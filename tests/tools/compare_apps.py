"""The apps that `compare` is tested with, besides those of `check`."""

from __future__ import annotations

import os
from typing import Any

from check_apps import CLOSE, echo, fails_to_start, needs_header, open_websocket

from asgi_wsguard import Drainer, WebSocketGuardMiddleware

__all__ = ["fails_to_start", "needs_header"]

drainer = Drainer()


async def says_and_returns(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    await send({"type": "websocket.send", "text": "news"})


async def counts(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    await send({"type": "websocket.send", "text": str(len(drainer.connections))})
    await receive()


tells_of_its_guard = WebSocketGuardMiddleware(counts, drainer=drainer)


async def varies(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    await send({"type": "websocket.send", "text": os.urandom(8).hex()})
    await receive()


async def is_denied(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/ws":
        return await echo(scope, receive, send)
    assert scope["type"] == "websocket"
    await send(CLOSE)
