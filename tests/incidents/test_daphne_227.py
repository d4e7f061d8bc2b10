"""daphne #227: a consumer that closes in `disconnect()` was killed before it had cleaned up."""

from __future__ import annotations

import asyncio

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from django.conf import settings

from asgi_wsguard.probe.model import Leave

NEEDS = ()
SERVER = "-m daphne -b 127.0.0.1 -p {port} {app}"
OPTIONS = {"exit_timeout": 0.1}
DONE = "cleaned up"


class Consumer(AsyncJsonWebsocketConsumer):
    async def disconnect(self, code):
        await self.close()
        await asyncio.sleep(1)
        print(DONE, flush=True)
        raise StopConsumer


async def app(scope, receive, send):
    if not settings.configured:
        settings.configure()
    await Consumer.as_asgi()(scope, receive, send)


def test_guarded_it_cleans_up_as_bare(served):
    for times, kind in enumerate(("bare", "guarded"), 1):
        assert served.visit(kind, Leave()).code == 1000
        assert served.ends(kind)
        assert served.log().count(DONE) == times
