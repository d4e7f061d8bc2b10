"""Quart's test client, which drives a Quart app: the app under test takes the place of its `asgi_app`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from quart import Quart
from quart.testing.connections import WebsocketResponseError

PACKAGE = "quart"
CANNOT = {"stop reading"}


def describe(error: BaseException) -> str:
    if isinstance(error, WebsocketResponseError):
        return f"WebsocketResponseError {error.response.status_code}"
    return "receive() waits" if isinstance(error, Silence) else type(error).__name__


class Silence(Exception):
    """The app has ended, and `receive()` still waits: it tells of no close, whatever the app."""


class WebSocket:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        await self._session.send(text)

    async def hear(self, kind: type) -> str | bytes:
        receiving = asyncio.ensure_future(self._session.receive())
        await asyncio.wait([receiving, self._session._task], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0)
        if receiving.cancel():
            raise Silence
        found: str | bytes = receiving.result()
        return found

    async def leave(self, code: int) -> None:
        await self._session.disconnect()  # it has no code


@asynccontextmanager
async def connect(app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float]) -> AsyncIterator[WebSocket]:
    quart = Quart(__name__)

    async def connected(scope: Any, receive: Any, send: Any) -> None:
        """Supply the `websocket.connect`, which this client leaves out, as a Quart app does not ask for it."""
        messages = [{"type": "websocket.connect"}]

        async def receive_connect_first() -> Any:
            return messages.pop() if messages else await receive()

        await app(scope, receive_connect_first, send)

    quart.asgi_app = connected  # type: ignore[method-assign]
    async with quart.test_client().websocket(path, subprotocols=list(offers)) as session:
        yield WebSocket(session)
