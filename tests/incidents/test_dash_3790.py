"""dash #3790: each client that left while callbacks ran left three tracebacks, as Dash went on using its websocket."""

from __future__ import annotations

import asyncio
import contextlib
import json

from asgi_wsguard.probe.model import Say, Vanish

NEEDS = ("3.12", "dash[fastapi]==4.2.0rc1", "uvicorn==0.54.0", "websockets==17.4")
SERVER = "-m uvicorn --port {port} {app}"
OPTIONS = {"send_after_end": "drop"}
PAYLOAD = {
    "output": "out.children",
    "outputs": {"id": "out", "property": "children"},
    "inputs": [{"id": "in", "property": "value", "value": "hello"}],
    "changedPropIds": ["in.value"],
}

with contextlib.suppress(ImportError):  # it is there where the app is served
    import dash

    dashboard = dash.Dash(backend="fastapi", websocket_callbacks=True, websocket_allowed_origins=["http://dash"])
    dashboard.layout = dash.html.Div([dash.dcc.Input(id="in"), dash.html.Div(id="out")])

    @dashboard.callback(dash.Output("out", "children"), dash.Input("in", "value"))
    async def answer(value):
        await asyncio.sleep(0.2)
        return value

    @dash.hooks.websocket_message()
    async def check(websocket, message):
        if message["requestId"] == "3":
            await asyncio.sleep(0.5)  # the answers to the first two meet a client that has left


async def app(scope, receive, send):
    await dashboard.server({**scope, "path": "/_dash-ws-callback"}, receive, send)


def visit(served, kind):
    requests = [
        Say(json.dumps({"type": "callback_request", "rendererId": "r", "requestId": one, "payload": PAYLOAD}))
        for one in "123"
    ]
    return served.visit(kind, *requests, Vanish(), headers=[("origin", "http://dash")])


def test_bare_there_are_errors(served):
    visit(served, "bare")
    assert served.ends("bare")
    assert served.logs("Exception in ASGI application")
    assert served.log().count("Task exception was never retrieved") == 2


def test_guarded_there_is_none(served):
    visit(served, "guarded")
    assert served.ends("guarded")
    assert "Traceback" not in served.log()
