"""asgiref's `ApplicationCommunicator`: the test's author writes the scope and the messages."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgiref.testing import ApplicationCommunicator

PACKAGE = "asgiref"
CANNOT = {"stop reading"}


class Said(Exception):
    """The app has answered the handshake with something else than an accept, or has closed."""


def describe(error: BaseException) -> str:
    return str(error) if isinstance(error, Said) else type(error).__name__


class WebSocket:
    def __init__(self, communicator: ApplicationCommunicator, timeout: dict[str, float]) -> None:
        self._communicator = communicator
        self._timeout = timeout

    async def answer(self) -> None:
        message = await self._communicator.receive_output(**self._timeout)
        if message["type"] != "websocket.accept":
            raise Said(_told(message))

    async def say(self, text: str) -> None:
        await self._communicator.send_input({"type": "websocket.receive", "text": text})

    async def hear(self, kind: type) -> str | bytes:
        message = await self._communicator.receive_output(**self._timeout)
        if message["type"] != "websocket.send":
            raise Said(_told(message))
        found: str | bytes = message["text" if kind is str else "bytes"]
        return found

    async def leave(self, code: int) -> None:
        await self._communicator.send_input({"type": "websocket.disconnect", "code": code})


def _told(message: dict[str, Any]) -> str:
    return f"{message['type']} {message.get('status', message.get('code', 1000))}"


@asynccontextmanager
async def connect(app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float]) -> AsyncIterator[WebSocket]:
    scope = {"type": "websocket", "path": path, "headers": [], "subprotocols": list(offers)}
    communicator = ApplicationCommunicator(app, {**scope, "extensions": {"websocket.http.response": {}}})
    await communicator.send_input({"type": "websocket.connect"})
    try:
        yield WebSocket(communicator, timeout)
    finally:
        await communicator.wait(**timeout)
