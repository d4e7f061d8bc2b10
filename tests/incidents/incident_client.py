"""Runs the test client of an incident in the environment of its days: `python incident_client.py <module> <kind>`.

The kind is "bare" or "guarded". It prints what the client got. Once the app has ended, nothing can come any more: a
client that is not done soon after hangs. That ends the process, with status 3 and the stack of every thread.
"""

from __future__ import annotations

import faulthandler
import importlib
import os
import sys
import threading
from typing import Any

from asgi_wsguard import WebSocketGuardMiddleware

SOON = {"bare": 1.0, "guarded": 30.0}
"""Seconds. Bare it always hangs; guarded it may be slow."""
HANGS = 3

name, kind = sys.argv[1:]
incident = importlib.import_module(name)
served = WebSocketGuardMiddleware(incident.app) if kind == "guarded" else incident.app


async def app(scope: Any, receive: Any, send: Any) -> None:
    await served(scope, receive, send)
    if scope["type"] == "websocket":
        timer = threading.Timer(SOON[kind], give_up)
        timer.daemon = True
        timer.start()


def give_up() -> None:
    faulthandler.dump_traceback()
    os._exit(HANGS)


print(incident.client(app))
