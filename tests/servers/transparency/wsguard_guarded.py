"""What the plugin and the processes that tests start have in common: an app behind the guard that is counted."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from asgi_wsguard import WebSocketGuardMiddleware


def shared_counter(file):
    """Return the number in a file, mapped into memory: Starlette's tests forbid to write in an event loop."""
    with Path(file).open("a+b") as opened:
        opened.truncate(8)
        return memoryview(mmap.mmap(opened.fileno(), 8)).cast("Q")


# How many there were so far, in all processes.
websockets = shared_counter(os.environ["WEBSOCKETS"])


class Guarded(WebSocketGuardMiddleware):
    async def __call__(self, scope, receive, send):
        if scope["type"] == "websocket":
            websockets[0] += 1
        await super().__call__(scope, receive, send)
