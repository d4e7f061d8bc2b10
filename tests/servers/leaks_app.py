"""The app of test_server_leaks.py: the path names what becomes of a websocket; over HTTP it counts what there is."""

from __future__ import annotations

import gc
import json
from collections import Counter
from typing import TYPE_CHECKING

import anyio

from asgi_wsguard import WebSocketGuardMiddleware

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import Receive, Scope, Send


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()


async def echoes(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def waits_for_something_else(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await anyio.Event().wait()


async def never_answers(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.Event().wait()


GUARDED = {
    f"/{app.__name__}": WebSocketGuardMiddleware(app, exit_timeout=0.1, handshake_timeout=timeout)
    for app, timeout in ((returns, 20), (echoes, 20), (waits_for_something_else, 20), (never_answers, 0.1))
}


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await GUARDED[scope["path"]](scope, receive, send)
    elif scope["type"] == "http":
        body = json.dumps(census()).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})
    else:
        while True:
            await send({"type": f"{(await receive())['type']}.complete"})


def census() -> Counter[str]:
    """Count all objects by their type: the tasks, what they run, and what belongs to a connection."""
    gc.collect()
    return Counter(f"{kind.__module__}.{kind.__qualname__}" for kind in map(type, gc.get_objects()))
