"""granian #575: an app that goes on receiving after the disconnect got `ASGI flow error` with each client that left."""

from __future__ import annotations

from asgi_wsguard.probe.model import Leave

NEEDS = ("3.12", "granian==2.3.0")
SERVER = "-m granian --interface asgi --port {port} {app}"
OPTIONS = {"exit_timeout": 0.1}
ERROR = "ASGI flow error"


async def app(scope, receive, send):
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})


def test_only_guarded_there_is_no_error(served):
    served.visit("guarded", Leave())
    assert served.ends("guarded")
    assert ERROR not in served.log()
    served.visit("bare", Leave())
    assert served.logs(ERROR)
