"""`python served_example.py FILE CLIENT...`: serve an app of docs/together/ on uvicorn, and visit it.

It prints what the app's own endpoints have logged, what Sentry's transport got, and what is on the log.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import runpy
import sys
import threading
from typing import Any

import uvicorn
from fastapi import WebSocket
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

import asgi_wsguard

EVENTS: list[dict[str, Any]] = []


class Quick(asgi_wsguard.WebSocketGuardMiddleware):
    """With limits that a test can wait for."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, handshake_timeout=0.2, exit_timeout=0.2, **options)


def catch_events() -> None:
    """Let Sentry, wherever it is started, send to `EVENTS`."""
    import sentry_sdk
    from sentry_sdk.transport import Transport

    class Kept(Transport):
        def capture_envelope(self, envelope: Any) -> None:
            event = envelope.get_event()
            if event is not None:
                EVENTS.append(event)

    started = sentry_sdk.init
    sentry_sdk.init = lambda **options: started(dsn="http://key@127.0.0.1:9/1", transport=Kept, **options)


def add_endpoints(app: Any) -> None:
    """Add an app's faults: it crashes, it never answers, it does not see that its client has left."""

    async def crashes(websocket: WebSocket, room: str) -> None:
        logging.getLogger("app").warning("about to crash")
        await websocket.accept()
        raise KeyError(room)

    async def never(websocket: WebSocket) -> None:
        logging.getLogger("app").warning("about to wait")
        await asyncio.Event().wait()

    async def stays(websocket: WebSocket) -> None:
        logging.getLogger("app").warning("about to stay")
        await websocket.accept()
        await asyncio.Event().wait()

    app.add_api_websocket_route("/rooms/{room}", crashes)
    app.add_api_websocket_route("/never", never)
    app.add_api_websocket_route("/stays", stays)


def visit(port: int, path: str) -> None:
    try:
        with connect(f"ws://127.0.0.1:{port}{path}", open_timeout=20) as client:
            if path != "/stays":
                client.recv(timeout=20)
    except WebSocketException:
        pass  # denied, or closed with 1011


def main(file: str, *paths: str) -> None:
    asgi_wsguard.WebSocketGuardMiddleware = Quick  # type: ignore[misc]
    catch_events()
    app = runpy.run_path(file)["app"]
    add_endpoints(app)
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, *args: Any, **more: Any) -> None:
            await super().startup(*args, **more)
            ready.set()

    server = Server(uvicorn.Config(app, port=0, log_config=None, ws="websockets-sansio"))
    thread = threading.Thread(target=server.run)
    thread.start()
    ready.wait(20)
    port = server.servers[0].sockets[0].getsockname()[1]
    for path in paths:
        visit(port, path)
    server.should_exit = True  # which waits until the apps have ended
    thread.join()
    print(json.dumps(EVENTS, default=str))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
