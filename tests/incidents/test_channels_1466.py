"""channels #1466: `disconnect()` of a consumer was not called when one of its sends met a client that had left."""

from __future__ import annotations

import asyncio

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from asgi_wsguard.probe.model import Hear, Say, Vanish

NEEDS = ()
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"send_after_end": "drop"}
CALLED = "disconnect() was called"


class Consumer(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        for _ in range(50):
            await self.send(text_data="news")
            await asyncio.sleep(0.02)

    async def disconnect(self, code):
        print(CALLED, flush=True)


async def app(scope, receive, send):
    if not settings.configured:
        settings.configure()
    await Consumer.as_asgi()(scope, receive, send)


def test_bare_it_is_not_called(served):
    served.visit("bare", Say("go"), Hear(), Vanish())
    assert served.ends("bare")
    assert CALLED not in served.log()


def test_guarded_it_is_called(served):
    served.visit("guarded", Say("go"), Hear(), Vanish())
    assert served.logs(CALLED)
    assert served.ends("guarded")
    assert "Traceback" not in served.log()
