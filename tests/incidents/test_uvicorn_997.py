"""uvicorn #997: with wsproto an app was not told of a connection that a proxy had cut without a close frame."""

from __future__ import annotations

from asgi_wsguard.probe.model import Vanish

NEEDS = ("3.9", "uvicorn==0.13.4", "wsproto==1.0.0")
SERVER = "-m uvicorn --ws wsproto --port {port} {app}"
OPTIONS = {"idle_timeout": 0.5}


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


def test_only_guarded_they_end(served):
    for kind in ("bare", "guarded"):
        for _ in range(5):
            served.visit(kind, Vanish(reset=False))
    assert served.ends("guarded")
    assert served.running("bare") == 5
