"""sanic #2070: websockets of Sanic failed on daphne, as Sanic chose a subprotocol that nobody had offered."""

from __future__ import annotations

import contextlib

from asgi_wsguard.probe.model import Hear, Leave, Say

NEEDS = ("3.9", "sanic==21.3.4", "daphne==3.0.1", "websockets==8.1")
SERVER = "-m daphne -b 127.0.0.1 -p {port} {app}"

with contextlib.suppress(ImportError):  # it is there where the app is served
    from sanic import Sanic

    sanic = Sanic("incident")

    @sanic.websocket("/")
    async def echo(request, ws):
        await ws.send(await ws.recv())


async def app(scope, receive, send):
    if not sanic.router.finalized:
        sanic.router.finalize()
    await sanic(scope, receive, send)


def test_bare_the_handshake_fails(served):
    assert not served.visit("bare", Say("hello"), Hear(), Leave()).opened


def test_guarded_it_is_accepted_without_a_subprotocol(served):
    seen = served.visit("guarded", Say("hello"), Hear(), Leave())
    assert (seen.subprotocol, seen.messages) == (None, ["hello"])
