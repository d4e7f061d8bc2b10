"""litestar #4106: a stream must end when its client leaves, and what surrounds it must clean up."""

from __future__ import annotations

import asyncio

from litestar import Litestar, WebSocket, websocket
from litestar.handlers import send_websocket_stream

from asgi_wsguard.probe.model import Hear, Leave

NEEDS = ()
SERVER = "-m uvicorn --port {port} {app}"
ENDED = "the stream has ended"


async def news():
    yield "news"
    await asyncio.sleep(3600)


@websocket("/")
async def handler(socket: WebSocket) -> None:
    await socket.accept()
    try:
        await send_websocket_stream(socket, news(), listen_for_disconnect=True)
    finally:
        print(ENDED, flush=True)


app = Litestar([handler])


def test_guarded_it_ends_as_bare(served):
    for times, kind in enumerate(("bare", "guarded"), 1):
        seen = served.visit(kind, Hear(), Leave())
        assert seen.messages == ["news"]
        assert served.ends(kind)
        assert served.log().count(ENDED) == times
    assert "Traceback" not in served.log()
