"""The middleware around apps that work, and its options."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_wsguard import DenialResponse, WebSocketGuardMiddleware
from asgi_wsguard.testing import Client, StrictServer
from harness.apps import sending
from harness.log import Log
from harness.messages import ACCEPT, MESSAGES, TEXT, Receive, Send
from harness.serving import CRASHED, FORBIDDEN, serve

pytestmark = pytest.mark.anyio


# The middleware


async def test_an_app_that_works_is_left_alone(log: Log) -> None:
    server = StrictServer("/ws", subprotocols=["chat"])
    server.client_sends("1")
    server.client_sends(b"2")
    messages = [MESSAGES["accept"], TEXT, MESSAGES["close"]]
    received: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        received.append(await receive())
        await send(messages[0])
        received.append(await receive())
        received.append(await receive())
        await send(messages[1])
        await send(messages[2])

    await server.run(WebSocketGuardMiddleware(app, strict=True))
    assert server.sent == messages
    assert received == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "1"},
        {"type": "websocket.receive", "bytes": b"2"},
    ]
    assert log.lines() == []


async def test_called_by_name() -> None:
    server = StrictServer("/ws")
    await WebSocketGuardMiddleware(sending())(scope=server.scope, receive=server.receive, send=server.send)
    assert server.client == Client(denial=CRASHED)


async def test_scope_without_the_optional_keys() -> None:
    for missing in (["extensions", "subprotocols", "path", "headers"], []):
        server = StrictServer("/ws", denial_extension=False)
        server.scope["extensions"] = server.scope["subprotocols"] = None
        for key in missing:
            del server.scope[key]
        result = await serve(sending(), server)
        assert result.client == Client(denial=FORBIDDEN)


async def test_double_callable_app() -> None:
    """ASGI 2, as Channels' consumers once were."""

    class Consumer:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await sending(ACCEPT, TEXT)(self.scope, receive, send)

    def function(scope: Any) -> Any:
        return Consumer(scope)

    for app in (Consumer, function):
        result = await serve(app)
        assert result.client == Client(accepted=True, messages=["hi"], close_code=1000)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"strict": 1}, TypeError),
        ({"strict": None}, TypeError),
        ({"denial": 500}, TypeError),
        ({"denial": {"status": 500}}, TypeError),
        ({"without_extension": None}, TypeError),
        ({"without_extension": "500"}, ValueError),
        ({"close_timeout": "5"}, TypeError),
        ({"close_timeout": True}, TypeError),
        ({"close_timeout": 0}, ValueError),
        ({"close_timeout": -1.5}, ValueError),
        ({"close_timeout": float("inf")}, ValueError),
        ({"close_timeout": float("nan")}, ValueError),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], anyio_backend: str) -> None:
    ((name, value),) = options.items()
    with pytest.raises(error) as caught:
        WebSocketGuardMiddleware(sending(), **options)
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"status": "500"}, TypeError),
        ({"status": True}, TypeError),
        ({"status": 199}, ValueError),
        ({"status": 600}, ValueError),
        ({"body": b"bytes"}, TypeError),
        ({"body": float("nan")}, TypeError),
        ({"headers": 5}, TypeError),
        ({"headers": [("a", 1)]}, TypeError),
        ({"headers": {"a": "b\r\n"}}, ValueError),
        ({"headers": {"": "b"}}, ValueError),
        ({"headers": {"Content-Length": "1"}}, ValueError),
        ({"headers": {"connection": "close"}}, ValueError),
        ({"headers": {b"transfer-encoding": b"chunked"}}, ValueError),
    ],
)
def test_wrong_denial_response(options: dict[str, Any], error: type[Exception], anyio_backend: str) -> None:
    ((name, value),) = options.items()
    with pytest.raises(error, match=name) as caught:
        DenialResponse(**options)
    shown = next(iter(value)) if isinstance(value, dict) else value
    assert (shown.decode() if isinstance(shown, bytes) else str(shown)).lower() in str(caught.value).lower()


def test_the_app_must_be_callable(anyio_backend: str) -> None:
    with pytest.raises(TypeError, match="app"):
        WebSocketGuardMiddleware(None)
