"""starlette #759: nobody told an endpoint that its client had left; it ran on, and uvicorn could not be stopped."""

from __future__ import annotations

import asyncio

from starlette.routing import Router, WebSocketRoute

from asgi_wsguard.probe.model import Hear, Leave

NEEDS = ("3.9", "starlette==0.13.0", "uvicorn==0.11.3", "websockets==8.1", "httptools==0.1.2", "uvloop==0.15.3")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"exit_timeout": 0.1}


async def endpoint(websocket):
    await websocket.accept()
    await websocket.send_text("welcome")
    await asyncio.sleep(3600)  # the news of which the client is to be told


app = Router([WebSocketRoute("/", endpoint)])


def test_guarded_the_endpoint_ends(served):
    served.visit("guarded", Hear(), Leave())
    assert served.ends("guarded")
    assert served.stops(10.0)


def test_bare_it_runs_on(served):
    served.visit("bare", Hear(), Leave())
    served.visit("guarded", Hear(), Leave())
    assert served.ends("guarded")  # long after the first client has left
    assert served.running("bare") == 1
    assert not served.stops(1.0)
    assert "Waiting for background tasks to complete" in served.log()
