"""channels_redis #81: consumers did not stop when the client left, until daphne killed them with a warning each."""

from __future__ import annotations

from channels.consumer import AsyncConsumer
from django.conf import settings

from asgi_wsguard.probe.model import Leave

NEEDS = ("3.9", "channels==2.4.0", "daphne==2.5.0", "django==4.2.7")
# This daphne has no __main__. It kills after 10 seconds by default.
SERVER = (
    '-c __import__("daphne.cli").cli.CommandLineInterface.entrypoint()'
    " --application-close-timeout 1 -b 127.0.0.1 -p {port} {app}"
)
OPTIONS = {"exit_timeout": 0.1}
KILLED = "took too long to shut down and was killed"


class Consumer(AsyncConsumer):
    async def websocket_connect(self, event):
        await self.send({"type": "websocket.accept"})

    async def websocket_disconnect(self, event):
        """Forget to raise StopConsumer."""


async def app(scope, receive, send):
    if not settings.configured:
        settings.configure()
    await Consumer(scope)(receive, send)


def test_only_guarded_nothing_has_to_be_killed(served):
    assert served.visit("guarded", Leave()).code == 1000
    assert served.visit("bare", Leave()).code == 1000
    assert served.logs(KILLED)
    assert served.running("guarded") == 0
    assert served.log().count(KILLED) == 1
