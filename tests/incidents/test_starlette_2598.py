"""starlette #2598: three years later a test still hung for ever when there was no answer, on threads of anyio now."""

from __future__ import annotations

from starlette.routing import Router, WebSocketRoute

NEEDS = ("3.12", "starlette==0.37.2", "httpx==0.27.0")


async def endpoint(websocket):
    if "token" in websocket.query_params:
        await websocket.accept()


app = Router([WebSocketRoute("/", endpoint)])


def client(app):
    from starlette.testclient import TestClient, WebSocketDenialResponse

    try:
        with TestClient(app).websocket_connect("/"):
            return "accepted"
    except WebSocketDenialResponse as denial:
        return f"WebSocketDenialResponse {denial.status_code}"


def test_only_guarded_the_test_ends(tested):
    assert tested("bare") == "it hangs"
    assert tested("guarded") == "WebSocketDenialResponse 500"
