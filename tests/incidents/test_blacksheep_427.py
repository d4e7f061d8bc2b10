"""blacksheep #427: an exception in a handler closed the websocket twice, which the server took for an error."""

from __future__ import annotations

import contextlib

NEEDS = ("3.11", "blacksheep==2.0.1", "uvicorn==0.24.0.post1", "websockets==12.0")
SERVER = "-m uvicorn --port {port} {app}"

with contextlib.suppress(ImportError):  # it is there where the app is served
    from blacksheep import Application, WebSocket
    from blacksheep.exceptions import Unauthorized

    application = Application()

    @application.router.ws("/")
    async def endpoint(websocket: WebSocket):
        raise Unauthorized


async def app(scope, receive, send):
    if not application.started:
        await application.start()
    await application(scope, receive, send)


def test_bare_there_is_a_second_error(served):
    served.visit("bare")
    assert served.logs("Unexpected ASGI message")


def test_guarded_the_handshake_is_denied(served):
    assert served.visit("guarded").status == 403
    assert "Unexpected ASGI message" not in served.log()
