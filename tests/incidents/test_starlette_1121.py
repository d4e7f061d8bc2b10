"""starlette #1121: tasks of clients that had left went on for ever, as only an endpoint that receives hears of it."""

from __future__ import annotations

import asyncio

from starlette.endpoints import WebSocketEndpoint
from starlette.routing import Router, WebSocketRoute

from asgi_wsguard.probe.model import Hear, Leave

NEEDS = ("3.9", "starlette==0.14.1", "uvicorn==0.13.3", "websockets==8.1")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"exit_timeout": 0.1}


class News(WebSocketEndpoint):
    async def on_connect(self, websocket):
        await websocket.accept()
        await websocket.send_text("welcome")
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(3600))


app = Router([WebSocketRoute("/", News)])


def test_only_guarded_they_end(served):
    for kind in ("bare", "guarded"):
        for _ in range(5):
            served.visit(kind, Hear(), Leave())
    assert served.ends("guarded")
    assert served.running("bare") == 5
