"""fastapi #3961: with the documentation's ConnectionManager, one who left threw out the next who broadcast."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from asgi_wsguard.probe.model import Hear, Say, Vanish

NEEDS = ()
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"send_after_end": "drop"}

app = FastAPI()
active_connections = []


async def broadcast(message):
    for connection in list(active_connections):
        await connection.send_text(message)


@app.websocket("/")
async def chat(websocket: WebSocket):
    await websocket.accept()
    active_connections.append(websocket)
    try:
        while True:
            text = await websocket.receive_text()
            await broadcast(text)
            if text == "work":
                await asyncio.sleep(3600)  # it does not hear that its client leaves
    except WebSocketDisconnect:
        active_connections.remove(websocket)
        await broadcast("someone left")


def test_bare_the_next_is_thrown_out(served):
    served.visit("bare", Say("work"), Hear(), Vanish())
    seen = served.visit("bare", Say("hello"), Hear())
    assert (seen.messages, seen.code) == ([], 1006)


def test_guarded_the_next_is_served(served):
    served.visit("guarded", Say("work"), Hear(), Vanish())
    seen = served.visit("guarded", Say("hello"), Hear(), Vanish())
    assert seen.messages == ["hello"]
    assert "Traceback" not in served.log()
