"""python-engineio #327: 4.6.0 closed a websocket twice when a client left that had upgraded from polling."""

from __future__ import annotations

import contextlib
import json

from asgi_wsguard.probe.model import Hear, Leave, Say
from asgi_wsguard.probe.servers import get

NEEDS = ("3.11", "python-engineio==4.6.0", "uvicorn==0.23.2", "websockets==11.0.3")
SERVER = "-m uvicorn --port {port} {app}"
ERROR = "Unexpected ASGI message 'websocket.close', after sending 'websocket.close'"

with contextlib.suppress(ImportError):  # it is there where the app is served
    import engineio

    server = engineio.AsyncServer(async_mode="asgi")
    app = engineio.ASGIApp(server, engineio_path="")

    @server.on("message")
    async def message(sid, data):
        await server.send(sid, data)


def visit(served, kind):
    polled = get(served.process.port, f"/{kind}?EIO=4&transport=polling", 5.0)
    sid = json.loads(polled[1:])["sid"]
    steps = Say("2probe"), Hear(), Say("5"), Say("4hello"), Hear(), Hear(), Leave()
    return served.visit(f"{kind}?EIO=4&transport=websocket&sid={sid}", *steps)


def test_only_guarded_there_is_no_error(served):
    assert visit(served, "guarded").messages == ["3probe", "6", "4hello"]
    assert served.ends("guarded")
    assert "Traceback" not in served.log()

    assert visit(served, "bare").messages == ["3probe", "6", "4hello"]
    assert served.logs(ERROR)
