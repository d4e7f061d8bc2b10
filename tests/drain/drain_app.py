"""An echo that drains when its server is to stop. It notes how many messages each websocket was answered."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import anyio

from asgi_wsguard import Drainer, WebSocketGuardMiddleware

GRACE = float(os.environ.get("DRAIN_GRACE", "1"))
SPREAD = float(os.environ.get("DRAIN_SPREAD", "1"))
NOTES = "DRAIN_NOTES"
STARTED = "started"

CODE = int(os.environ.get("DRAIN_CODE", "1012"))

ON_SIGNAL = [signal.Signals[name] for name in os.environ.get("DRAIN_ON", "SIGTERM").split()]

drainer = Drainer(on_signal=ON_SIGNAL, grace=GRACE, spread=SPREAD, code=CODE)


async def _app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})
            if event == "startup":
                note(STARTED, 1)
    elif scope["type"] == "http":
        if scope["path"] == "/drain":
            await drainer.drain()
        while scope["path"] == "/draining" and not drainer.draining:
            await anyio.sleep(0.01)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
    else:
        await receive()
        if scope["path"] == "/undecided":
            note("undecided", 1)
            await receive()  # until it is over
            return
        await send({"type": "websocket.accept"})
        await _echo(scope["path"], receive, send)


async def _echo(path: str, receive: Any, send: Any) -> None:
    answered = 0
    try:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                break
            if path == "/stored":
                note(message["text"], 1)
            await send({"type": "websocket.send", "text": message["text"]})
            answered += 1
    finally:
        note(path, answered)


def note(what: str, count: int) -> None:
    """Append to this process' own file, in the folder that the test names."""
    with Path(os.environ[NOTES], str(os.getpid())).open("a") as notes:
        notes.write(f"{what} {count}\n")


bare = _app
# A message that is dropped would be counted as answered.
app = WebSocketGuardMiddleware(_app, drainer=drainer, send_after_end="raise")
