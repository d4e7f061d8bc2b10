"""hypercorn #177: one app that sent to a client which had just closed took the whole trio server down."""

from __future__ import annotations

import anyio

from asgi_wsguard.probe.model import Hear, Leave

NEEDS = ("3.11", "hypercorn==0.15.0", "wsproto==1.2.0", "h11==0.14.0", "h2==4.1.0", "trio==0.23.2")
SERVER = "-m hypercorn -k trio -b 127.0.0.1:{port} {app}"


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "news"})
        await anyio.sleep(0)  # the close of the client is read here


def test_bare_the_server_dies(served):
    served.visit("bare", Hear(), Leave())
    served.process.process.wait(10)


def test_guarded_it_lives(served):
    for _ in range(5):
        served.visit("guarded", Hear(), Leave())
        assert served.ends("guarded")
    assert served.process.process.poll() is None
