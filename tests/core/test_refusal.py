"""A refused handshake over HTTP/2 and HTTP/3 is a response (H5): a server's own 403 may be illegal there."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from starlette.exceptions import WebSocketException

from asgi_wsguard.testing import Client, StrictServer
from harness.apps import sending
from harness.messages import ACCEPT, BODY, CLOSE, LAST_BODY, START, TEXT, Receive, Send
from harness.serving import CRASHED, FORBIDDEN, serve

pytestmark = pytest.mark.anyio

REFUSAL = [
    {"type": "websocket.http.response.start", "status": 403, "headers": []},
    {"type": "websocket.http.response.body", "body": b"", "more_body": False},
]
by_response = pytest.mark.parametrize("version", ["2", "3"])


class ServerError(Exception):
    pass


class RefusesFirst(StrictServer):
    """Its send() fails once."""

    failed = False

    async def send(self, message: Any) -> None:
        if not self.failed:
            self.failed = True
            raise ServerError
        await super().send(message)


def over(version: Any, kind: type[StrictServer] = StrictServer, **options: Any) -> StrictServer:
    server = kind("/ws", **options)
    server.scope["http_version"] = version
    return server


@by_response
async def test_a_close_before_accept(version: str) -> None:
    got: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(CLOSE)
        got.append((await receive())["type"])

    result = await serve(app, over(version))
    assert result.server.sent == REFUSAL
    assert result.client == Client(denial=FORBIDDEN)
    assert got == ["websocket.disconnect"]
    assert result.error is None


@by_response
async def test_an_exception_that_asks_for_it(version: str) -> None:
    result = await serve(sending(raises=WebSocketException(4001)), over(version))
    assert result.server.sent == REFUSAL


@by_response
async def test_an_accept_that_the_server_refuses(version: str) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        with pytest.raises(ServerError):
            await send(ACCEPT)
        await send(CLOSE)

    assert (await serve(app, over(version, RefusesFirst))).server.sent == REFUSAL


@by_response
async def test_a_client_that_has_left(version: str) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await receive()

    server = over(version)
    server.client_leaves()
    await serve(app, server)
    assert not server.client.answered


@by_response
@pytest.mark.parametrize(
    "messages",
    [[ACCEPT, TEXT, CLOSE], [ACCEPT, CLOSE], [START, LAST_BODY], [START, BODY, LAST_BODY]],
    ids=["data", "accept", "denial", "parts of a denial"],
)
async def test_whatever_else_is_the_very_object(version: str, messages: list[Any]) -> None:
    server = (await serve(sending(*messages), over(version))).server
    assert [id(message) for message in server.sent] == [id(message) for message in messages]


@by_response
async def test_the_guards_own_denial_and_close(version: str) -> None:
    assert (await serve(sending(), over(version))).client == Client(denial=CRASHED)
    assert (await serve(sending(ACCEPT), over(version))).client == Client(accepted=True, close_code=1000)


@by_response
async def test_data_goes_through_the_servers_own_send(version: str) -> None:
    """The wrapper costs an open connection nothing."""
    wrapped: dict[str, bool] = {}

    class Looking(StrictServer):
        async def send(self, message: Any) -> None:
            wrapped[message["type"]] = "send_or_refuse" in {frame.name for frame in traceback.extract_stack()}
            await super().send(message)

    await serve(sending(ACCEPT, TEXT, CLOSE), over(version, Looking))
    assert wrapped == {"websocket.accept": True, "websocket.send": False, "websocket.close": True}


@pytest.mark.parametrize("version", ["1.1", "1.0", None, 2, [], "2.0"])
async def test_other_versions_get_the_close_itself(version: Any) -> None:
    server = (await serve(sending(CLOSE), over(version))).server
    assert len(server.sent) == 1
    assert server.sent[0] is CLOSE


@by_response
async def test_a_server_without_the_extension_gets_the_close_itself(version: str) -> None:
    server = (await serve(sending(CLOSE), over(version, denial_extension=False))).server
    assert len(server.sent) == 1
    assert server.sent[0] is CLOSE
