"""What the server of an incident serves: the websocket app of the module that `INCIDENT` names, at /bare and /guarded.

`GET /` tells how many of each still run. The server may be old, and in an environment of its own: neither this nor the
incident's module needs more at import than the app does, and asgi_wsguard.
"""

from __future__ import annotations

import importlib
import json
import os
from collections import Counter
from typing import Any

from asgi_wsguard import WebSocketGuardMiddleware

incident = importlib.import_module(os.environ["INCIDENT"])
APPS = {
    "/bare": incident.app,
    "/guarded": WebSocketGuardMiddleware(incident.app, **getattr(incident, "OPTIONS", {})),
}
running: Counter[str] = Counter()


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "http" and scope["path"] == "/":
        await tell(send)
    elif scope["type"] == "http":
        await APPS[scope["path"]]({**scope, "path": "/", "raw_path": b"/"}, receive, send)
    else:
        await websocket(scope, receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    message = await receive()
    while message["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
        message = await receive()
    await send({"type": "lifespan.shutdown.complete"})


async def tell(send: Any) -> None:
    body = json.dumps(running).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def websocket(scope: Any, receive: Any, send: Any) -> None:
    kind = scope["path"]
    running[kind] += 1
    try:
        await APPS[kind]({**scope, "path": "/", "raw_path": b"/"}, receive, send)
    finally:
        running[kind] -= 1
