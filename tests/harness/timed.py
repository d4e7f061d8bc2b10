"""An app behind the guard in virtual time, on a strict server that notes when what happened."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer

TIMEOUTS = [
    "handshake_timeout",
    "exit_timeout",
    "cleanup_timeout",
    "close_timeout",
    "idle_timeout",
    "max_lifetime",
    "send_timeout",
]
# Shorter than the defaults, so that the moments below are easy to read.
SHORT = {"handshake_timeout": 20, "exit_timeout": 10}

# How a server cancels an app.
by_scope_and_by_task = pytest.mark.parametrize(
    ("anyio_backend", "own_task"), [("asyncio", False), ("trio", False), ("asyncio", True)]
)

Event = tuple[float, Callable[["Timed"], object]]


class Timed(StrictServer):
    """Records what it was sent, and when, and what it delivered. It may stop, and cancel the app."""

    def __init__(self, path: str = "/ws", **more: Any) -> None:
        super().__init__(path, **more)
        self.times: list[tuple[float, str]] = []
        self.handed: list[Any] = []
        self.ended_at = math.nan
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self.scope_of_app = anyio.CancelScope()

    async def receive(self) -> dict[str, Any]:
        message = await super().receive()
        self.handed.append(message)
        return message

    async def send(self, message: Any) -> None:
        self.times.append((anyio.current_time(), message["type"].rpartition(".")[2]))
        await super().send(message)

    def stops(self) -> None:
        """Cancel the app: by Task.cancel() where it has a task of its own."""
        if self.task is None:
            self.scope_of_app.cancel()
        else:
            self.task.cancel()

    async def serve(self, app: Any) -> None:
        try:
            with self.scope_of_app:
                await self.run(app)
                await anyio.lowlevel.checkpoint()  # where a late cancellation shows
        except Exception as exc:
            self.error = exc
        finally:
            self.ended_at = anyio.current_time()

    @property
    def cancelled(self) -> bool:
        """Whether the cancellation reached the server."""
        return self.scope_of_app.cancelled_caught if self.task is None else self.task.cancelled()


class Blocked(Timed):
    """Takes nothing but an accept and data: it waits forever."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] not in ("websocket.accept", "websocket.send"):
            await anyio.sleep_forever()


async def serve(app: Any, *events: Event, server: Timed | None = None, own_task: bool = False, **options: Any) -> Timed:
    """Serve the guarded app while the events happen at their times; return the server."""
    server = server or Timed()
    guarded = WebSocketGuardMiddleware(app, **{**SHORT, **options})

    async def happen() -> None:
        for when, act in events:
            await anyio.sleep_until(when)
            act(server)

    async with anyio.create_task_group() as group:
        group.start_soon(happen)
        if own_task:
            server.task = asyncio.get_running_loop().create_task(server.serve(guarded))
            await asyncio.wait([server.task])
        else:
            await server.serve(guarded)
        group.cancel_scope.cancel()
    assert server.violations == []
    return server


def sends(data: str | bytes) -> Callable[[StrictServer], None]:
    return lambda server: server.client_sends(data)


leaves, stops = Timed.client_leaves, Timed.stops
stops_reading, reads = Timed.client_stops_reading, Timed.client_reads
