"""starlette #1140: a test hung for ever when the endpoint returned without having accepted."""

from __future__ import annotations

from starlette.routing import Router, WebSocketRoute

NEEDS = ("3.9", "starlette==0.14.2", "requests==2.25.1")


async def endpoint(websocket):
    if "token" in websocket.query_params:
        await websocket.accept()


app = Router([WebSocketRoute("/", endpoint)])


def client(app):
    from starlette.testclient import TestClient
    from starlette.websockets import WebSocketDisconnect

    try:
        with TestClient(app).websocket_connect("/"):
            return "accepted"
    except WebSocketDisconnect as error:
        return f"WebSocketDisconnect {error.code}"


def test_only_guarded_the_test_ends(tested):
    assert tested("bare") == "it hangs"
    assert tested("guarded") == "WebSocketDisconnect 1011"
