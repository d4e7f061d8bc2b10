"""The app of test_tail.py: it sends more than fits into any buffer, and closes, without receiving."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_wsguard import WebSocketGuardMiddleware

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import Receive, Scope, Send

MESSAGES, SIZE = 200, 40_000


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
    else:
        await send({"type": "websocket.accept"})
        for _ in range(MESSAGES):
            await send({"type": "websocket.send", "bytes": b"x" * SIZE})
        await send({"type": "websocket.close", "code": 4000})


guarded = WebSocketGuardMiddleware(bare)
