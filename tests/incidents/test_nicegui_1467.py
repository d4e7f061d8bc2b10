"""nicegui #1467: each page that a user closed left a traceback, as socket.io closes a websocket that is gone."""

from __future__ import annotations

import contextlib

from asgi_wsguard.probe.model import Hear, Leave, Say

NEEDS = ("3.11", "python-socketio==5.8.0", "python-engineio==4.6.0", "uvicorn==0.23.2", "websockets==11.0.3")
SERVER = "-m uvicorn --port {port} {app}"
ERROR = "Unexpected ASGI message 'websocket.close', after sending 'websocket.close'"
QUERY = "?EIO=4&transport=websocket"

with contextlib.suppress(ImportError):  # it is there where the app is served
    import socketio

    app = socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi"), socketio_path="")


def test_only_guarded_there_is_no_error(served):
    served.visit(f"guarded{QUERY}", Hear(), Say("40"), Hear(), Leave())
    assert served.ends("guarded")
    assert "Traceback" not in served.log()

    served.visit(f"bare{QUERY}", Hear(), Say("40"), Hear(), Leave())
    assert served.logs(ERROR)
