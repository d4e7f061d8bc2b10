"""Litestar's `TestClient`."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar.exceptions import WebSocketDisconnect
from litestar.testing import TestClient

PACKAGE = "litestar"
CANNOT = {"stop reading", "leave before the answer"}


def describe(error: BaseException) -> str:
    return f"WebSocketDisconnect {error.code}" if isinstance(error, WebSocketDisconnect) else type(error).__name__


class WebSocket:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        self._session.send_text(text)

    async def hear(self, kind: type) -> str | bytes:
        return await to_thread(self._session.receive_text if kind is str else self._session.receive_bytes)

    async def leave(self, code: int) -> None:
        self._session.close(code)


@asynccontextmanager
async def connect(app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float]) -> AsyncIterator[WebSocket]:
    client = TestClient(app)
    session = await to_thread(client.websocket_connect, path, subprotocols=offers or None)
    await to_thread(session.__enter__)
    try:
        yield WebSocket(session)
    finally:
        await to_thread(session.__exit__, None, None, None)
