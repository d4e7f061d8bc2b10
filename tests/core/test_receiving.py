"""What goes wrong while the guard receives ahead."""

from __future__ import annotations

from typing import Any

import anyio
import pytest

from asgi_wsguard import ClientDisconnected, WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time
from harness.messages import ACCEPT, TEXT


class ServerError(Exception):
    pass


class Faulty(StrictServer):
    """Its receive() fails after the connect, once."""

    failed = False

    async def receive(self) -> dict[str, Any]:
        if self.client.accepted and not self.failed:
            self.failed = True
            raise ServerError
        return await super().receive()


@in_virtual_time
async def test_an_error_of_the_servers_receive_is_kept_for_the_app() -> None:
    """Nothing more can come from there: the connection is over (O12)."""
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.sleep(2)
        with pytest.raises(ServerError):
            await receive()
        with pytest.raises(ClientDisconnected):
            await send(TEXT)
        server.client_leaves(1001)
        got.append(await receive())

    server = Faulty("/ws")
    await server.run(WebSocketGuardMiddleware(app))
    assert [message["type"] for message in got] == ["websocket.disconnect"]
    assert server.violations == []


@in_virtual_time
async def test_e9_a_server_that_refuses_even_that() -> None:
    class Refusing(StrictServer):
        async def send(self, message: Any) -> None:
            raise ServerError

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await anyio.sleep(1)

    guarded = WebSocketGuardMiddleware(app, max_connections=1)
    async with anyio.create_task_group() as group:
        group.start_soon(StrictServer("/ws").run, guarded)
        await anyio.sleep(0.5)
        with pytest.raises(ServerError):
            await Refusing("/ws").run(guarded)


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.anyio
async def test_a_receive_that_is_thrown_away_gives_its_place_back(anyio_backend: str) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        thrown_away = receive()
        thrown_away.send(None)
        thrown_away.close()
        server.client_sends("hi")
        got.append(await receive())

    server = StrictServer("/ws")
    await server.run(WebSocketGuardMiddleware(app))
    assert [message["text"] for message in got] == ["hi"]
