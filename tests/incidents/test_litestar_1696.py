"""litestar #1696: a test waited for ever when the endpoint returned without having accepted."""

from __future__ import annotations

from litestar import Litestar, WebSocket, websocket

NEEDS = ("3.11", "litestar==2.0.0", "httpx==0.24.1")


@websocket("/")
async def endpoint(socket: WebSocket) -> None:
    if "token" in socket.query_params:
        await socket.accept()


app = Litestar([endpoint])


def client(app):
    from litestar.exceptions import WebSocketDisconnect
    from litestar.testing import TestClient

    try:
        with TestClient(app).websocket_connect("/"):
            return "accepted"
    except WebSocketDisconnect as error:
        return f"WebSocketDisconnect {error.code}"


def test_only_guarded_the_test_ends(tested):
    assert tested("bare") == "it hangs"
    assert tested("guarded") == "WebSocketDisconnect 1011"
