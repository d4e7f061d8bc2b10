"""fastapi #16300: the close after a failed validation has a list for its reason, which no frame can carry."""

from __future__ import annotations

from fastapi import Depends, FastAPI, WebSocket

NEEDS = ()
SERVER = "-m uvicorn --port {port} {app}"

app = FastAPI()


async def accepted(websocket: WebSocket):
    await websocket.accept()


@app.websocket("/", dependencies=[Depends(accepted)])
async def greet(websocket: WebSocket, number: int):
    await websocket.send_text(f"hello {number}")


def test_bare_the_close_is_an_error(served):
    assert served.visit("bare?number=one").code != 1008
    assert served.logs("Traceback")


def test_guarded_it_closes_without_the_reason(served):
    seen = served.visit("guarded?number=one")
    assert (seen.code, seen.reason) == (1008, "")
    assert "Traceback" not in served.log()
    assert served.visit("guarded?number=1").messages == ["hello 1"]
