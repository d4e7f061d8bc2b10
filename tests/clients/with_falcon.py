"""Falcon's `ASGIConductor`, which takes any ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from falcon import WebSocketDisconnected
from falcon.testing import ASGIConductor

PACKAGE = "falcon"
CANNOT = {"stop reading", "leave before the answer"}


def describe(error: BaseException) -> str:
    name = type(error).__name__
    return f"{name} {error.code}" if isinstance(error, WebSocketDisconnected) else name


class WebSocket:
    def __init__(self, session: Any) -> None:
        self._session = session

    async def say(self, text: str) -> None:
        await self._session.send_text(text)

    async def hear(self, kind: type) -> str | bytes:
        return await (self._session.receive_text() if kind is str else self._session.receive_data())

    async def leave(self, code: int) -> None:
        await self._session.close(code)


@asynccontextmanager
async def connect(app: Any, path: str, offers: tuple[str, ...], timeout: dict[str, float]) -> AsyncIterator[WebSocket]:
    conductor = ASGIConductor(app)
    async with conductor.simulate_ws(path, subprotocols=list(offers), **timeout) as session:
        yield WebSocket(session)
