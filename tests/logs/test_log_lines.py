"""What a log line is made of: the signature and the route in its template, and sentences."""

from __future__ import annotations

import contextlib
import logging
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from asgi_wsguard import WebSocketGuardMiddleware

PATHS = {
    "its path": ("/chat", "/chat", "[wsguard-H1] '/chat': %s", "[wsguard-H1] '/chat': The app returned "),
    "parameters": (
        "/rooms/7",
        "/rooms/{room}",
        "[wsguard-H1] %s (route '/rooms/{room}'): %s",
        "[wsguard-H1] '/rooms/7' (route '/rooms/{room}'): The app returned ",
    ),
    "none": ("/rooms/7", None, "[wsguard-H1] %s: %s", "[wsguard-H1] '/rooms/7': The app returned "),
    "a percent sign": ("/%d", "/%d", "[wsguard-H1] '/%%d': %s", "[wsguard-H1] '/%d': The app returned "),
}


@pytest.mark.parametrize("route", PATHS)
def test_the_template_has_the_signature_and_the_route(route: str, caplog: pytest.LogCaptureFixture) -> None:
    """Tools that group by template then show one group for each fault of each route, whatever paths clients ask for."""
    path, template, message, line = PATHS[route]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if template is not None:
            scope["path_template"] = template  # as Litestar does

    with pytest.raises(WebSocketDenialResponse), visit(app, path):
        pass
    (record,) = caplog.records
    assert record.msg == message
    assert record.getMessage().startswith(line)


APPS = {
    "H1": ([], "The app returned without answering the handshake. The client got status 500."),
    "O1": (["accept"], "The app returned without closing the websocket. The client was closed with 1000."),
    "H14": ([("accept", "subprotocol", "a")], "The app accepted with subprotocol 'a'. It was accepted with none."),
    "O4": (
        ["accept", ("close", "reason", "a" * 200)],
        "The app closed with a reason too long for a frame. The reason was cut.",
    ),
    "H5": (["close"], "The app rejected the handshake. The client got status 403."),
}


@pytest.mark.parametrize("clause", APPS)
def test_a_line_is_made_of_sentences(clause: str, caplog: pytest.LogCaptureFixture) -> None:
    steps, text = APPS[clause]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for step in steps:
            kind, *pair = [step] if isinstance(step, str) else step
            await send({"type": f"websocket.{kind}", **dict([pair] if pair else [])})

    caplog.set_level(logging.DEBUG, "asgi_wsguard")
    with contextlib.suppress(WebSocketDisconnect), visit(app, "/ws") as ws:
        ws.receive()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "asgi_wsguard"]
    place = line[line.find(" (") : line.find(").") + 1] if " (" in line else ""
    assert line.replace(place, "") == f"[wsguard-{clause}] '/ws': {text}"


def visit(app: Any, path: str) -> Any:
    return TestClient(WebSocketGuardMiddleware(app)).websocket_connect(path)
