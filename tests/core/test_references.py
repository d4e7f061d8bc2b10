"""Nothing refers to a connection that has ended (E7)."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import weakref
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, Drainer, WebSocketGuardMiddleware
from harness.apps import AppError
from harness.backends import in_memory, on_asyncio
from harness.clock import in_virtual_time
from harness.kinds import KINDS, echoes, serve
from harness.kinds import nobody_keeps_the_log as nobody_keeps_the_log
from harness.messages import ACCEPT, TEXT, Receive, Send
from harness.timed import TIMEOUTS, Timed

# E7


class App:
    """One that can be referred to weakly."""

    def __init__(self, *, receives: bool) -> None:
        self.receives = receives

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await (receive() if self.receives else anyio.sleep_forever())


@pytest.mark.parametrize("receives", [True, False])
@pytest.mark.parametrize(
    "options", [{}, dict.fromkeys(TIMEOUTS), dict.fromkeys(TIMEOUTS, 5), {"max_connections": 1}], ids=str
)
@in_virtual_time
async def test_e7_nothing_refers_to_the_connection(options: dict[str, Any], receives: bool) -> None:
    app = App(receives=receives)
    guarded = WebSocketGuardMiddleware(app, **options)
    seen: list[weakref.ref[Any]] = []

    async def connect() -> None:
        server = Timed()
        seen.append(weakref.ref(server))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, guarded)
            await anyio.sleep(2)
            server.client_leaves()
            await anyio.sleep(1)
            if not options.get("exit_timeout", 5):
                server.stops()

    await connect()
    await anyio.lowlevel.checkpoint()
    gc.collect()
    assert seen[0]() is None


class Anything:
    """Something that can be referred to weakly."""


@pytest.mark.parametrize("level", [logging.DEBUG, logging.WARNING])  # with WARNING most have no report
@pytest.mark.parametrize("limits", [{}, {"send_timeout": 30}], ids=str)
@pytest.mark.parametrize("name", KINDS)
@in_virtual_time
async def test_connections_do_not_wait_for_the_garbage_collector(
    name: str, limits: dict[str, Any], level: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(level, "asgi_wsguard")
    kind = KINDS[name]
    guarded = WebSocketGuardMiddleware(kind.app, **{**limits, **kind.options})
    seen: list[weakref.ref[Anything]] = []

    async def connect() -> None:
        servers = [kind.server() for _ in range(50)]
        for server in servers:
            server.scope["state"]["anything"] = anything = Anything()
            seen.append(weakref.ref(anything))
        del anything
        await serve(kind, guarded, servers)
        for server in servers:  # an exception refers to the frames that it came through
            server.error = server.task = None

    gc.disable()
    try:
        await connect()
        assert [reference for reference in seen if reference() is not None] == []
    finally:
        gc.enable()


@on_asyncio
@in_memory
async def test_a_task_that_has_failed_is_in_no_circle() -> None:
    """A task holds what it raised, which refers to the frames that it came through: these may not refer to the task."""

    class Failing(Timed):
        async def receive(self) -> dict[str, Any]:
            if self.handed:
                raise AppError  # the server's own, out of the app's `receive()`
            return await super().receive()

    gc.disable()
    try:
        server = Failing()
        server.scope["state"]["anything"] = anything = Anything()
        seen = weakref.ref(anything)
        guarded = WebSocketGuardMiddleware(KINDS["echoes"].app)
        task = asyncio.ensure_future(guarded(server.scope, server.receive, server.send))
        await asyncio.wait({task})
        assert isinstance(task.exception(), AppError)
        del server, anything, task
        await anyio.sleep(0)
        assert seen() is None
    finally:
        gc.enable()


@on_asyncio
@in_memory
async def test_a_connection_that_is_discarded_is_in_no_circle() -> None:
    """The error of the server's `send()` refers to the frames that it came through."""

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        if message == TEXT:
            raise OSError("the client has left")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        with contextlib.suppress(ClientDisconnected):
            await send(TEXT)
        await anyio.sleep_forever()

    gc.disable()
    try:
        scope = Timed().scope
        scope["state"]["anything"] = anything = Anything()
        seen = weakref.ref(anything)
        connection = WebSocketGuardMiddleware(app)(scope, receive, send)
        connection.send(None)  # as far as the app goes without the event loop
        connection.close()
        del scope, anything, connection
        await anyio.lowlevel.checkpoint()
        assert seen() is None
    finally:
        gc.enable()


@in_virtual_time
async def test_a_drain_does_not_keep_what_has_ended() -> None:
    drainer = Drainer(grace=1, spread=10)
    guarded = WebSocketGuardMiddleware(echoes, drainer=drainer)
    seen: list[weakref.ref[Anything]] = []

    async def connect(leaves_at: float) -> None:
        server = Timed()
        server.scope["state"]["anything"] = anything = Anything()
        seen.append(weakref.ref(anything))
        del anything
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, guarded)
            await anyio.sleep_until(leaves_at)
            server.client_leaves()

    gc.disable()
    try:
        async with anyio.create_task_group() as group:
            for leaves_at in (0.5, 3, 100):
                group.start_soon(connect, leaves_at)
            group.start_soon(drainer.drain)
            await anyio.sleep(3.5)
            assert sum(reference() is not None for reference in seen) == 1
    finally:
        gc.enable()


@in_virtual_time
async def test_a_task_that_stays_does_not_keep_the_scope() -> None:
    """Such as one of a pool of connections to a database, which the first websocket has started."""
    seen: list[weakref.ref[Anything]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        group.start_soon(anyio.sleep_forever)
        await receive()
        await send(ACCEPT)

    async def connect() -> None:
        server = Timed()
        server.scope["state"]["anything"] = anything = Anything()
        seen.append(weakref.ref(anything))
        await server.serve(WebSocketGuardMiddleware(app))

    async with anyio.create_task_group() as group:
        await connect()
        gc.collect()
        assert seen[0]() is None
        group.cancel_scope.cancel()
