"""A dependency that is no coroutine runs in a worker thread, which nobody can cancel; the client is told anyhow."""

from __future__ import annotations

import threading

import anyio
import pytest
from fastapi import Depends, FastAPI, WebSocket

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_a_stuck_dependency_does_not_hold_the_client() -> None:
    called, released = threading.Event(), threading.Event()

    def stuck() -> None:
        called.set()
        released.wait(30)

    app = FastAPI()

    @app.websocket("/")
    async def endpoint(websocket: WebSocket, _: None = Depends(stuck)) -> None:
        await websocket.accept()

    app.add_middleware(WebSocketGuardMiddleware, handshake_timeout=0.1)
    server = StrictServer("/")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run, app)
        try:
            with anyio.fail_after(10):
                while server.client.denial is None:
                    await anyio.sleep(0.01)
            assert called.is_set()
        finally:
            released.set()
    assert server.client.denial.status == 503
    assert server.violations == []
