"""Several connections of one app at once, and a drainer; in virtual time."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel

from asgi_wsguard import Drained, Drainer, WebSocketGuardMiddleware
from harness.apps import disconnected
from harness.messages import ACCEPT, Receive, Send
from harness.timed import Timed


async def reads(scope: Any, receive: Receive, send: Send) -> None:
    """Accept, and receive until the disconnect."""
    await receive()
    await send(ACCEPT)
    await disconnected(receive)


def ends_after(seconds: float) -> Any:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.sleep(seconds)

    return app


class Served:
    """A guarded app with a drainer; the connections begin when they are served, one after the other."""

    def __init__(self, drainer: Drainer, **options: Any) -> None:
        self.drainer = drainer
        self.servers: list[Timed] = []
        self._guarded = {}
        self._options = {"drainer": drainer, **options}

    async def serve(self, app: Any, *servers: Timed) -> tuple[Timed, ...]:
        """Serve the app on each of them, beside the test."""
        guarded = WebSocketGuardMiddleware(app, **self._options)
        for server in servers:
            self.servers.append(server)
            self.group.start_soon(server.serve, guarded)
            for _ in range(5):  # trio begins tasks in any order
                await anyio.lowlevel.checkpoint()
        return servers

    def soon(self, call: Callable[[], Awaitable[Any]]) -> Awaited:
        """Await the call beside the test."""
        awaited = Awaited(call)
        self.group.start_soon(awaited.run)
        return awaited

    async def turned_away(self, **more: Any) -> Timed:
        """Serve an app that must not be called."""

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            raise AssertionError("it was called")

        server = Timed(**more)
        await self.serve(app, server)
        assert server.error is None
        return server


class Awaited:
    """The result of a call, and when it came."""

    def __init__(self, call: Callable[[], Awaitable[Any]]) -> None:
        self._call = call
        self.scope = anyio.CancelScope()
        self.result: Any = None
        self.done_at: float | None = None

    async def run(self) -> None:
        with self.scope:
            self.result = await self._call()
        self.done_at = anyio.current_time()


@contextlib.asynccontextmanager
async def served(drainer: Drainer | None = None, **options: Any) -> AsyncIterator[Served]:
    """Serve connections, and wait for their end."""
    serving = Served(drainer or Drainer(), **options)
    async with anyio.create_task_group() as serving.group:
        yield serving
    assert [server.violations for server in serving.servers] == [[] for _ in serving.servers]
    assert serving.drainer._connections == {}
    assert serving.drainer._runs == set()


def figures(ended: int = 0, closed: int = 0, cancelled: int = 0) -> Drained:
    return Drained(ended, closed, cancelled)
