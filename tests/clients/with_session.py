"""This package's own `WebSocketSession`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asgi_wsguard.testing import WebSocketClosed, WebSocketSession

PACKAGE = "asgi-wsguard"
CANNOT = {"leave before the answer"}


class Denied(Exception):
    """`ws.denial` is there."""


def describe(error: BaseException) -> str:
    if isinstance(error, Denied):
        return f"ws.denial.status {error}"
    return f"WebSocketClosed {error.code}" if isinstance(error, WebSocketClosed) else type(error).__name__


class WebSocket:
    def __init__(self, session: WebSocketSession) -> None:
        self._session = session
        self.resume_reading = session.resume_reading

    async def say(self, text: str) -> None:
        await self._session.send_text(text)

    async def hear(self, kind: type) -> str | bytes:
        return await self._session.receive()

    async def leave(self, code: int) -> None:
        await self._session.close(code)


@asynccontextmanager
async def connect(
    app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float], reads: bool = True
) -> AsyncIterator[WebSocket]:
    session = WebSocketSession(app, path, subprotocols=offers, **timeout)
    if not reads:
        session.stop_reading()
    async with session:
        if session.denial is None:
            yield WebSocket(session)
    if session.denial is not None:
        raise Denied(session.denial.status)
