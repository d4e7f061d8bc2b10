"""An app that is told to stop before it is up: it says that it starts, and waits until it may go on."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import anyio

from asgi_wsguard import Drainer, WebSocketGuardMiddleware

NOTES = "STARTING_NOTES"
STARTS, MAY_START, IS_UP, IS_DOWN = "starts", "may start", "is up", "is down"


async def bare(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "lifespan"
    notes = Path(os.environ[NOTES])
    await receive()
    (notes / STARTS).touch()
    while not (notes / MAY_START).exists():
        await anyio.sleep(0.01)
    (notes / IS_UP).touch()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    (notes / IS_DOWN).touch()
    await send({"type": "lifespan.shutdown.complete"})


guarded = WebSocketGuardMiddleware(bare, drainer=Drainer(on_signal=[signal.SIGTERM, signal.SIGINT]))
