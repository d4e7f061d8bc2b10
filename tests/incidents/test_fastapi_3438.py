"""fastapi #3438: a task that had something left to send when its endpoint had ended got a `RuntimeError`."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, WebSocket

from asgi_wsguard.probe.model import Vanish

NEEDS = ("3.9", "fastapi==0.65.2", "starlette==0.14.2", "pydantic==1.8.2", "uvicorn==0.14.0", "websockets==9.1")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"send_after_end": "raise"}

app = FastAPI()
tasks = []


@app.websocket("/")
async def chat(websocket: WebSocket):
    await websocket.accept()
    tasks.append(asyncio.ensure_future(follow_up(websocket)))


async def follow_up(websocket):
    await asyncio.sleep(0.1)
    try:
        await websocket.send_text("one more")
    except Exception as error:
        print(f"{type(error).__name__}: {error}", flush=True)


def test_bare_it_is_no_error_that_one_can_expect(served):
    served.visit("bare", Vanish())
    assert served.logs("RuntimeError: Unexpected ASGI message 'websocket.send', after sending 'websocket.close'")


def test_guarded_it_is_the_one_of_the_spec(served):
    served.visit("guarded", Vanish())
    assert served.logs("ClientDisconnected: websocket.send after the connection was closed")
