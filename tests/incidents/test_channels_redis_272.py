"""channels_redis #272: the handler of a consumer without StopConsumer must run once, whatever comes after it."""

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
CALLED = "the handler was called"


class Consumer(AsyncConsumer):
    async def websocket_connect(self, event):
        await self.send({"type": "websocket.accept"})

    async def websocket_disconnect(self, event):
        print(CALLED, flush=True)


async def app(scope, receive, send):
    if not settings.configured:
        settings.configure()
    await Consumer(scope)(receive, send)


def calls(served, kind):
    """Return how often the handler was called when the consumer has ended, which daphne does by killing it.

    On Python 3.8 and newer daphne 2.5.0 kills only once: the CancelledError that comes out of it stops its timer.
    """
    assert served.visit(kind, Leave()).code == 1000
    assert served.ends(kind)
    return served.log().count(CALLED)


def test_bare_it_is_called_once(served):
    assert calls(served, "bare") == 1


def test_guarded_it_is_called_once(served):
    assert calls(served, "guarded") == 1
