"""asgiref #66: apps that go on when they have been told that the client left pile up, as the server lets them."""

from __future__ import annotations

import asyncio

from asgi_wsguard.probe.model import Leave

NEEDS = ()  # servers of today do so, too
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"cleanup_timeout": 0.1}


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    assert (await receive())["type"] == "websocket.disconnect"
    await asyncio.sleep(3600)


def test_only_guarded_they_end(served):
    for kind in ("bare", "guarded"):
        for _ in range(5):
            served.visit(kind, Leave())
    assert served.ends("guarded")
    assert served.running("bare") == 5
