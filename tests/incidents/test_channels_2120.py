"""channels #2120: a consumer busy with a message hears late of the disconnect, and daphne kills it meanwhile."""

from __future__ import annotations

import asyncio

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from asgi_wsguard.probe.model import Hear, Leave, Say

NEEDS = ()
SERVER = "-m daphne -b 127.0.0.1 -p {port} {app}"
CALLED = "disconnect() was called"


class Consumer(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        await self.send(text_data="working")
        await asyncio.sleep(2)

    async def disconnect(self, code):
        print(CALLED, code, flush=True)


async def app(scope, receive, send):
    if not settings.configured:
        settings.configure()
    await Consumer.as_asgi()(scope, receive, send)


def test_guarded_the_message_is_finished_as_bare(served):
    for calls, kind in enumerate(("bare", "guarded"), 1):
        served.visit(kind, Say("work"), Hear(), Leave(4000))
        assert served.ends(kind)
        assert served.log().count(f"{CALLED} 4000") == calls
