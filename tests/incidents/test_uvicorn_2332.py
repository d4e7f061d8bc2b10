"""uvicorn #2332: a connection stayed open when its app had returned, and closing it by hand failed when done twice."""

from __future__ import annotations

from asgi_wsguard.probe.model import Say

NEEDS = ("3.12", "uvicorn==0.29.0", "websockets==12.0")
SERVER = "-m uvicorn --port {port} {app}"
ERROR = "Unexpected ASGI message 'websocket.close', after sending 'websocket.close'"


async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    for _ in range(int((await receive())["text"])):
        await send({"type": "websocket.close"})


def test_only_guarded_it_is_closed_once(served):
    assert [served.visit("guarded", Say(times)).code for times in "012"] == [1000, 1000, 1000]
    assert served.ends("guarded")
    assert "Error" not in served.log()

    assert served.visit("bare", Say("2")).code == 1000
    assert served.logs(ERROR)
    seen = served.visit("bare", Say("0"), patience=1.0)
    assert served.running("bare") == 0
    assert seen.hung
