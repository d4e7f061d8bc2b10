"""Synchronous code that blocks in a thread of the framework's: no cancellation reaches it, but the client is told."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
import uvicorn
from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path
from fastapi import Depends, FastAPI, WebSocket
from litestar import Litestar, websocket
from litestar import WebSocket as LitestarSocket
from litestar.concurrency import sync_to_thread
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.probe.client import visit
from asgi_wsguard.testing import StrictServer
from harness.backends import asyncio_only as asyncio_only

pytestmark = pytest.mark.anyio

# Seconds.
DEADLINE = 0.2
PATIENCE = 30.0

# An app, and the function of the user's that is to be named.
Stuck = tuple[Any, Callable[..., Any]]


class Blocking:
    """What the threads do until they are let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.began = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> None:
        self.began.set()
        self.go.wait(PATIENCE)
        self.ended.set()

    @property
    def blocks(self) -> bool:
        return self.began.is_set() and not self.ended.is_set()

    def let_go(self) -> None:
        self.go.set()
        assert self.ended.wait(PATIENCE)


@pytest.fixture
def blocking() -> Iterator[Blocking]:
    blocking = Blocking()
    yield blocking
    blocking.go.set()


@contextlib.asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    await anyio.wait_all_tasks_blocked()
    assert asyncio.all_tasks() == before


def fastapi(blocking: Blocking) -> Stuck:
    app = FastAPI()

    def dependency() -> None:
        blocking()

    @app.websocket("/ws")
    async def endpoint(websocket: WebSocket, _: None = Depends(dependency)) -> None:
        await websocket.accept()

    app.add_middleware(WebSocketGuardMiddleware, handshake_timeout=DEADLINE)
    return app, endpoint


def starlette(blocking: Blocking) -> Stuck:
    async def endpoint(websocket: WebSocket) -> None:
        await anyio.to_thread.run_sync(blocking)
        await websocket.accept()

    app = Starlette(routes=[WebSocketRoute("/ws", endpoint)])
    app.add_middleware(WebSocketGuardMiddleware, handshake_timeout=DEADLINE)
    return app, endpoint


def litestar(blocking: Blocking) -> Stuck:
    async def endpoint(socket: LitestarSocket) -> None:
        await sync_to_thread(blocking)
        await socket.accept()

    guard = DefineMiddleware(WebSocketGuardMiddleware, handshake_timeout=DEADLINE)
    return Litestar([websocket("/ws")(endpoint)], middleware=[guard], logging_config=None), endpoint


def channels(consumer: Any) -> Any:
    settings.configured or settings.configure()
    app = ProtocolTypeRouter({"websocket": URLRouter([path("ws", consumer.as_asgi())])})
    return WebSocketGuardMiddleware(app, handshake_timeout=DEADLINE)


def channels_with_a_thread(blocking: Blocking) -> Stuck:
    class Consumer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await sync_to_async(blocking)()
            await self.accept()

    return channels(Consumer), Consumer.connect


def channels_in_a_thread(blocking: Blocking) -> Stuck:
    class Consumer(WebsocketConsumer):
        def connect(self) -> None:
            blocking()
            self.accept()

    return channels(Consumer), Consumer  # its method is not known outside the thread


class Server(StrictServer):
    def __init__(self) -> None:
        super().__init__("/ws")
        self.answered = anyio.Event()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.client.answered:
            self.answered.set()


@pytest.mark.parametrize("make", [fastapi, starlette, litestar, channels_with_a_thread, channels_in_a_thread])
async def test_h4_the_client_is_told_while_the_thread_blocks(
    make: Callable[[Blocking], Stuck], blocking: Blocking, caplog: pytest.LogCaptureFixture
) -> None:
    app, function = make(blocking)
    server = Server()
    start = anyio.current_time()
    with caplog.at_level(logging.INFO, "asgi_wsguard"), anyio.fail_after(PATIENCE):
        async with nothing_left(), anyio.create_task_group() as group:
            group.start_soon(server.run, app)
            await server.answered.wait()
            assert blocking.blocks
            assert anyio.current_time() - start >= DEADLINE
            blocking.let_go()
    assert server.client.denial is not None
    assert server.client.denial.status == 503
    assert server.violations == []
    (record,) = (record for record in caplog.records if record.name == "asgi_wsguard")
    line = record.getMessage()
    assert line.startswith("[wsguard-H4] '/ws': The app did not answer the handshake within 0.2 s")
    assert names(line, function), line


def names(line: str, function: Callable[..., Any]) -> bool:
    """Tell whether the log line names one in the function."""
    source, first = inspect.getsourcelines(function)
    return any(f"({__file__}:{number})" in line for number in range(first, first + len(source)))


async def test_h4_fastapi_on_uvicorn(blocking: Blocking) -> None:
    """The server can even be stopped meanwhile."""
    app, _ = fastapi(blocking)
    server = uvicorn.Server(uvicorn.Config(app, ws="websockets-sansio", lifespan="off", log_level="critical"))
    with socket.create_server(("127.0.0.1", 0)) as listener, anyio.fail_after(PATIENCE):
        async with nothing_left():
            async with anyio.create_task_group() as group:
                group.start_soon(server.serve, [listener])
                seen = await anyio.to_thread.run_sync(visit, listener.getsockname()[1], "/ws")
                assert (seen.status, seen.body, seen.hung) == (503, b"Service Unavailable", False)
                assert seen.seconds >= DEADLINE
                server.should_exit = True
            assert blocking.blocks
            blocking.let_go()
