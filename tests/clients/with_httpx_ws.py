"""httpx-ws and its `ASGIWebSocketTransport`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from httpx_ws import WebSocketDisconnect, WebSocketUpgradeError, aconnect_ws
from httpx_ws.transport import ASGIWebSocketTransport

PACKAGE = "httpx-ws"
CANNOT = {"stop reading", "leave before the answer", "vanish"}


def describe(error: BaseException) -> str:
    if isinstance(error, WebSocketUpgradeError):
        return f"WebSocketUpgradeError {error.response.status_code}"
    return f"WebSocketDisconnect {error.code}" if isinstance(error, WebSocketDisconnect) else type(error).__name__


class WebSocket:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        await self._session.send_text(text)

    async def hear(self, kind: type) -> str | bytes:
        return await (self._session.receive_text() if kind is str else self._session.receive_bytes())

    async def leave(self, code: int) -> None:
        """The end of its `with` block does it, with 1000."""


@asynccontextmanager
async def connect(app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float]) -> AsyncIterator[WebSocket]:
    transport = ASGIWebSocketTransport(app, **{f"initial_receive_{name}": value for name, value in timeout.items()})
    async with (
        httpx.AsyncClient(transport=transport) as http,
        aconnect_ws(f"ws://test{path}", http, subprotocols=list(offers) or None) as session,
    ):
        yield WebSocket(session)
