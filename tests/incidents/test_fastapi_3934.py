"""fastapi #3934: no `WebSocketDisconnect` reached an endpoint that waited for a task when its client left."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from asgi_wsguard.probe.model import Hear, Leave

NEEDS = ("3.9", "fastapi==0.68.1", "starlette==0.14.2", "pydantic==1.8.2", "uvicorn==0.15.0", "websockets==9.1")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"exit_timeout": 0.1}

app = FastAPI()


@app.websocket("/")
async def jobs(websocket: WebSocket):
    await websocket.accept()
    await websocket.send_text("started")
    try:
        await asyncio.create_task(asyncio.sleep(3600))
    except WebSocketDisconnect:
        print("the endpoint was told")


def test_only_guarded_it_ends(served):
    for kind in ("bare", "guarded"):
        served.visit(kind, Hear(), Leave())
    assert served.ends("guarded")
    assert served.running("bare") == 1
