"""uvicorn #326: stopping the server while a websocket was open made a traceback of an app that only sends."""

from __future__ import annotations

import asyncio

from asgi_wsguard.probe.model import Hear, Until

NEEDS = ("3.9", "uvicorn==0.11.3", "websockets==8.1", "httptools==0.1.2", "uvloop==0.15.3")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"send_after_end": "raise"}
TRACEBACK = "Exception in ASGI application"


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "Hello, world!"})
        await asyncio.sleep(1)


def stopped_meanwhile(served, kind):
    """Stop the server when the client has got two messages; tell whether that worked."""
    stopped = []
    served.visit(kind, Hear(), Hear(), Until(), watch=lambda _: stopped.append(served.stops(10.0)))
    return stopped


def test_bare_there_is_a_traceback(served):
    assert stopped_meanwhile(served, "bare") == [True]
    assert TRACEBACK in served.log()


def test_guarded_there_is_none(served):
    assert stopped_meanwhile(served, "guarded") == [True]
    assert TRACEBACK not in served.log()
