"""Starlette's `TestClient`, which is FastAPI's, too."""

from __future__ import annotations

import warnings
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it wants another httpx
    from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

PACKAGE = "starlette"
CANNOT = {"stop reading", "leave before the answer"}


def describe(error: BaseException) -> str:
    if isinstance(error, WebSocketDenialResponse):
        return f"WebSocketDenialResponse {error.status_code}"
    return f"WebSocketDisconnect {error.code}" if isinstance(error, WebSocketDisconnect) else type(error).__name__


class WebSocket:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        await to_thread(self._session.send_text, text)

    async def hear(self, kind: type) -> str | bytes:
        return await to_thread(self._session.receive_text if kind is str else self._session.receive_bytes)

    async def leave(self, code: int) -> None:
        await to_thread(self._session.close, code)


@asynccontextmanager
async def connect(app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float]) -> AsyncIterator[WebSocket]:
    session = TestClient(app).websocket_connect(path, subprotocols=offers or None)
    await to_thread(session.__enter__)
    try:
        yield WebSocket(session)
    finally:
        await to_thread(session.__exit__, None, None, None)
