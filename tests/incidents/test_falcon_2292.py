"""falcon #2292: whether sending to a client that has left raises depends on the server, and with it how an app ends."""

from __future__ import annotations

import asyncio

import falcon
import falcon.asgi

from asgi_wsguard.probe.model import Hear, Vanish

NEEDS = ()
SERVER = "-m hypercorn -b 127.0.0.1:{port} {app}"
OPTIONS = {"send_after_end": "raise"}
TOLD = "the feed was told"


class Feed:
    async def on_websocket(self, req, ws):
        await ws.accept()
        try:
            while True:
                await ws.send_text("news")
                await asyncio.sleep(0.02)
        except falcon.WebSocketDisconnected:
            print(TOLD, flush=True)


app = falcon.asgi.App()
app.ws_options.max_receive_queue = 0  # so that only send() can tell
app.add_route("/", Feed())


def test_only_guarded_the_send_raises(served):
    for kind in ("bare", "guarded"):
        served.visit(kind, Hear(), Vanish())
    assert served.ends("guarded")
    assert served.log().count(TOLD) == 1
    assert served.running("bare") == 1
