"""uvicorn #2282: what an endpoint did after WebSocketDisconnect was cancelled, unless it was shielded."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from asgi_wsguard.probe.model import Hear, Leave, Say

NEEDS = ()
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"exit_timeout": 0.1}
SAVED = "the transcript is saved"

app = FastAPI()


@app.websocket("/")
async def echo(websocket: WebSocket):
    await websocket.accept()
    try:
        while True:
            await websocket.send_text(await websocket.receive_text())
    except WebSocketDisconnect:
        await asyncio.sleep(1)
        print(SAVED, flush=True)


def test_guarded_it_is_finished_as_bare(served):
    for times, kind in enumerate(("bare", "guarded"), 1):
        assert served.visit(kind, Say("hello"), Hear(), Leave()).messages == ["hello"]
        assert served.ends(kind)
        assert served.log().count(SAVED) == times
