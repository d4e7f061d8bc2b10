"""hypercorn #125: an endpoint that crashed closed the websocket with 1000, as if it had ended well."""

from __future__ import annotations

NEEDS = ("3.11", "hypercorn==0.14.3", "wsproto==1.2.0", "h11==0.14.0", "h2==4.1.0")
SERVER = "-m hypercorn -b 127.0.0.1:{port} {app}"


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    raise RuntimeError("a bug")


def test_only_guarded_it_is_an_internal_error(served):
    assert served.visit("bare").code == 1000
    assert served.visit("guarded").code == 1011
