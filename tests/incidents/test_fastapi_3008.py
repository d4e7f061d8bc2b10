"""fastapi #3008: `client_state` still said CONNECTED to an endpoint that does not receive when its client was gone."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, WebSocket
from starlette.websockets import WebSocketState

from asgi_wsguard.probe.model import Hear, Vanish

NEEDS = ("3.9", "fastapi==0.63.0", "starlette==0.13.6", "pydantic==1.8.1", "uvicorn==0.13.4", "websockets==8.1")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"exit_timeout": 0.1}

app = FastAPI()


@app.websocket("/")
async def registration(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("welcome")
    while websocket.client_state is WebSocketState.CONNECTED:
        await asyncio.sleep(0.05)


def test_only_guarded_it_ends(served):
    for kind in ("bare", "guarded"):
        served.visit(kind, Hear(), Vanish())
    assert served.ends("guarded")
    assert served.running("bare") == 1
