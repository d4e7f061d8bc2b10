"""channels #1119: consumers that close in `websocket_disconnect()`, without StopConsumer, were killed by daphne."""

from __future__ import annotations

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

from asgi_wsguard.probe.model import Leave

NEEDS = ()
SERVER = "-m daphne --application-close-timeout 1 -b 127.0.0.1 -p {port} {app}"
OPTIONS = {"exit_timeout": 0.1}
CALLED = "the handler was called"
KILLED = "took too long to shut down and was killed"


class Consumer(AsyncWebsocketConsumer):
    async def websocket_disconnect(self, message):
        await self.send({"type": "websocket.close"})
        print(CALLED, flush=True)


async def app(scope, receive, send):
    if not settings.configured:
        settings.configure()
    await Consumer.as_asgi()(scope, receive, send)


def test_guarded_they_end_before_they_are_killed(served):
    assert served.visit("guarded", Leave()).code == 1000
    assert served.ends("guarded")
    assert served.visit("bare", Leave()).code == 1000
    assert served.logs(KILLED)
    assert served.log().count(KILLED) == 1
    assert served.log().count(CALLED) == 2
