"""channels' `WebsocketCommunicator`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from channels.testing import WebsocketCommunicator

PACKAGE = "channels"
CANNOT = {"stop reading", "leave before the answer"}


class Denied(Exception):
    """`connect()` has returned `(False, code)`."""


def describe(error: BaseException) -> str:
    return str(error) if isinstance(error, Denied) else type(error).__name__


class WebSocket:
    def __init__(self, communicator: WebsocketCommunicator, timeout: dict[str, float]) -> None:
        self._communicator = communicator
        self._timeout = timeout

    async def say(self, text: str) -> None:
        await self._communicator.send_to(text)

    async def hear(self, kind: type) -> str | bytes:
        received: str | bytes = await self._communicator.receive_from(**self._timeout)
        return received

    async def leave(self, code: int) -> None:
        await self._communicator.disconnect(code, **self._timeout)


@asynccontextmanager
async def connect(app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float]) -> AsyncIterator[WebSocket]:
    communicator = WebsocketCommunicator(app, path, subprotocols=list(offers))
    try:
        connected, told = await communicator.connect(**timeout)
        if not connected:
            raise Denied(f"(False, {told})")
        yield WebSocket(communicator, timeout)
    finally:
        await communicator.wait(**timeout)
