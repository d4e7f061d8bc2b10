"""starlette #2766: of several tasks that sent to a client that had left, all but the first got a `RuntimeError`."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocketDisconnect

from asgi_wsguard.probe.model import Hear, Vanish

NEEDS = ()
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"send_after_end": "drop"}
ERROR = 'Cannot call "send" once a close message has been sent.'


async def publish(websocket, name):
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(name)
            await asyncio.sleep(0.02)


async def endpoint(websocket):
    await websocket.accept()
    senders = [asyncio.create_task(publish(websocket, name)) for name in ("one", "two")]
    await websocket.receive()  # this client says nothing, so it is the disconnect
    ended, going_on = await asyncio.wait(senders, timeout=0.2)
    for task in going_on:
        task.cancel()
    for task in ended:
        task.result()


app = Starlette(routes=[WebSocketRoute("/", endpoint)])


def test_bare_there_is_an_error(served):
    served.visit("bare", Hear(), Vanish())
    assert served.logs(ERROR)


def test_guarded_the_endpoint_is_told_of_the_disconnect(served):
    served.visit("guarded", Hear(), Vanish())
    assert served.ends("guarded")
    assert "Traceback" not in served.log()
