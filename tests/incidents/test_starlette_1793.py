"""starlette #1793: sending to a client that had gone raised nothing, so the message was lost and nobody knew."""

from __future__ import annotations

import asyncio

from starlette.routing import Router, WebSocketRoute

from asgi_wsguard.probe.model import Hear, Vanish

NEEDS = ("3.9", "starlette==0.20.4", "uvicorn==0.18.2", "wsproto==1.1.0")
SERVER = "-m uvicorn --ws wsproto --port {port} {app}"
OPTIONS = {"send_after_end": "raise"}


async def relay(websocket):
    await websocket.accept()
    await websocket.send_text("welcome")
    await asyncio.sleep(1.5)  # until there is something to be told; the client leaves meanwhile
    try:
        await websocket.send_text("important")
    except OSError:
        print("not delivered", flush=True)
    else:
        print("delivered", flush=True)


app = Router([WebSocketRoute("/", relay)])


def test_bare_it_counts_as_delivered(served):
    served.visit("bare", Hear(), Vanish())
    assert served.logs("delivered")
    assert "not delivered" not in served.log()


def test_guarded_it_does_not(served):
    served.visit("guarded", Hear(), Vanish())
    assert served.logs("not delivered")
