"""Big messages: the guard forwards the very object, and makes one copy of what it repairs."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from asgi_wsguard import WebSocketGuardMiddleware
from harness.messages import ACCEPT, Receive, Send
from harness.timed import TIMEOUTS

SIZE = 64 * 2**20
LITTLE = SIZE // 8

pytestmark = pytest.mark.anyio


class Keeps:
    """An app that sends this payload, and its server, which keeps the last message."""

    def __init__(self, **payload: Any) -> None:
        self.payload = payload
        self.kept: Any = None

    async def app(self, scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.send", **self.payload})

    async def receive(self) -> Any:
        return {"type": "websocket.connect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.send":
            self.kept = message

    async def peak(self, **options: Any) -> int:
        """Return how much memory this takes at most, beside the payload."""
        tracemalloc.start()
        try:
            await WebSocketGuardMiddleware(self.app, **options)(
                {"type": "websocket", "path": "/"}, self.receive, self.send
            )
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize("options", [{}, dict.fromkeys(TIMEOUTS, 60)], ids=["default", "limits"])
@pytest.mark.parametrize("payload", [{"text": "x" * SIZE}, {"bytes": b"x" * SIZE}], ids=["text", "bytes"])
async def test_o9_no_copy_is_made(payload: dict[str, Any], options: dict[str, Any]) -> None:
    keeps = Keeps(**payload)
    assert await keeps.peak(**options) < LITTLE
    ((kind, value),) = payload.items()
    assert keeps.kept[kind] is value


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_o9_one_copy_is_made_of_what_is_repaired(kind: Any) -> None:
    value = kind(b"x" * SIZE)
    keeps = Keeps(bytes=value)
    assert await keeps.peak() < SIZE + LITTLE
    assert keeps.kept["bytes"] == value
