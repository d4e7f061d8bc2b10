"""httpx-ws #92: pytest hung, and took three Ctrl-C to stop, when the endpoint returned without having accepted."""

from __future__ import annotations

import asyncio

from starlette.routing import Router, WebSocketRoute

NEEDS = ("3.12", "httpx-ws==0.6.2", "httpx==0.28.1", "starlette==0.41.3", "wsproto==1.2.0")


async def endpoint(websocket):
    if "token" in websocket.query_params:
        await websocket.accept()


app = Router([WebSocketRoute("/", endpoint)])


def client(app):
    import httpx
    from httpx_ws import WebSocketDisconnect, aconnect_ws
    from httpx_ws.transport import ASGIWebSocketTransport

    async def connect():
        async with httpx.AsyncClient(transport=ASGIWebSocketTransport(app)) as http, aconnect_ws("ws://test/", http):
            return "accepted"

    try:
        return asyncio.run(connect())
    except WebSocketDisconnect as error:
        return f"WebSocketDisconnect {error.code}"


def test_only_guarded_the_test_ends(tested):
    assert tested("bare") == "it hangs"
    assert tested("guarded") == "WebSocketDisconnect 1011"
