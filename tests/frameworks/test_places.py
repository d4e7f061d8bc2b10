"""The line that a log names is the endpoint's, whatever tasks, threads and middleware a framework puts around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from django.conf import settings
from django.urls import path
from fastapi import Depends, FastAPI, WebSocket
from litestar import Litestar
from litestar import WebSocket as LitestarSocket
from litestar import websocket as litestar_websocket
from litestar.middleware import DefineMiddleware
from quart import Quart

from asgi_wsguard import ConnectionReport, WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
from harness.backends import asyncio_only as asyncio_only

pytestmark = pytest.mark.anyio


class Around:
    """Middleware of the user's, inside of the guard."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


async def sleep_in_library() -> None:
    await anyio.sleep_forever()  # in a task


def dependency_of(kind: str) -> Any:
    async def waits() -> None:
        await anyio.sleep_forever()  # dependency

    async def raises() -> None:
        raise ValueError  # raises

    async def opens() -> Any:
        await anyio.sleep_forever()  # opens
        yield

    return {"dependency": waits, "raises": raises, "opens": opens, "library": anyio.sleep_forever}[kind]


def fastapi(kind: str) -> Any:
    app = FastAPI()
    app.add_middleware(Around)

    @app.websocket("/ws")  # library
    async def endpoint(websocket: WebSocket, _: None = Depends(dependency_of(kind))) -> None: ...

    return app


def litestar() -> Any:
    async def endpoint(socket: LitestarSocket) -> None:
        await anyio.sleep_forever()  # litestar

    return Litestar([litestar_websocket("/ws")(endpoint)], middleware=[DefineMiddleware(Around)], logging_config=None)


def quart(task: bool) -> Any:
    app = Quart(__name__)

    @app.websocket("/ws")
    async def endpoint() -> None:
        if task:
            async with anyio.create_task_group() as group:
                group.start_soon(sleep_in_library)
        await anyio.sleep_forever()  # quart

    return Around(app)


def channels() -> Any:
    settings.configured or settings.configure()

    class Consumer(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(sleep_in_library)

    class Middleware(BaseMiddleware):  # type: ignore[misc]
        async def __call__(self, *args: Any) -> None:
            await super().__call__(*args)

    return Middleware(URLRouter([path("ws", Consumer.as_asgi())]))


@pytest.mark.parametrize(
    ("app", "mark"),
    [
        *((fastapi(kind), kind) for kind in ("dependency", "raises", "opens", "library")),
        (litestar(), "litestar"),
        (quart(task=False), "quart"),
        (quart(task=True), "in a task"),
        (channels(), "in a task"),
    ],
)
async def test_place(app: Any, mark: str) -> None:
    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    guarded = WebSocketGuardMiddleware(app, handshake_timeout=0.05, observers=[observe])
    try:
        await StrictServer("/ws").run(guarded)
    except ValueError:
        assert mark == "raises"
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = (number for number, line in enumerate(source, 1) if line.endswith(f"# {mark}"))
    assert [report.where for report in reports] == [f"{__file__}:{number}"]
