"""Serves an app behind the guard once, on a strict server, and returns the result."""

from __future__ import annotations

import asyncio
from typing import Any

import anyio
import anyio.lowlevel

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import Denial, StrictServer
from harness.messages import Receive, Send

FORBIDDEN = Denial(403, complete=True)
TEXT_PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]
CRASHED = Denial(500, TEXT_PLAIN, b"Internal Server Error", complete=True)
STOPPING = Denial(503, TEXT_PLAIN, b"Service Unavailable", complete=True)


class Result:
    def __init__(self, server: StrictServer, error: BaseException | None) -> None:
        self.server = server
        self.client = server.client
        self.error = error
        assert server.violations == []


async def serve(app: Any, server: StrictServer | None = None, **options: Any) -> Result:
    """Serve the guarded app, and return what the client got and what came out of the guard."""
    server = server or StrictServer("/ws")
    error: BaseException | None = None
    try:
        await server.run(WebSocketGuardMiddleware(app, **options))
    except BaseException as exc:
        error = exc
    return Result(server, error)


async def cancelled(app: Any, server: StrictServer) -> None:
    """Serve the guarded app, and cancel the scope around it when it waits."""
    seen: list[BaseException] = []

    async def remembering(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as exc:
            seen.append(exc)
            raise

    async def serving() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            try:
                await server.run(WebSocketGuardMiddleware(remembering))
            except BaseException as exc:
                seen.append(exc)
                raise
        assert scope.cancel_called

    scopes: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as group:
        group.start_soon(serving)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
    assert isinstance(seen[0], anyio.get_cancelled_exc_class())
    assert seen[1] is seen[0]
    assert server.violations == []


async def natively_cancelled(app: Any, server: StrictServer, times: int = 1) -> asyncio.Task[None]:
    """Serve the guarded app, and cancel its task when it waits, as servers do."""
    task = asyncio.get_running_loop().create_task(server.run(WebSocketGuardMiddleware(app)))
    await anyio.wait_all_tasks_blocked()
    for _ in range(times):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
    await asyncio.wait([task])
    assert server.violations == []
    return task


async def serve_on(app: Any, server: StrictServer, **options: Any) -> StrictServer:
    await server.run(WebSocketGuardMiddleware(app, **options))
    assert server.violations == []
    return server
