"""The middleware in the stacks of the frameworks, as their own documentation would have it added."""

from __future__ import annotations

from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path
from fastapi import FastAPI, WebSocket
from litestar import Litestar, websocket
from litestar import WebSocket as LitestarSocket

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
from harness.backends import asyncio_only as asyncio_only

pytestmark = pytest.mark.anyio


class AppError(Exception):
    pass


def fastapi() -> Any:
    app = FastAPI()

    @app.websocket("/returns")
    async def returns(websocket: WebSocket) -> None: ...

    @app.websocket("/raises")
    async def raises(websocket: WebSocket) -> None:
        await websocket.accept()
        raise AppError

    app.add_middleware(WebSocketGuardMiddleware)
    return app


def litestar() -> Any:
    @websocket("/returns")
    async def returns(socket: LitestarSocket) -> None: ...

    @websocket("/raises")
    async def raises(socket: LitestarSocket) -> None:
        await socket.accept()
        raise AppError

    return Litestar([returns, raises], middleware=[WebSocketGuardMiddleware])


def channels() -> Any:
    settings.configured or settings.configure()

    class Returns(AsyncWebsocketConsumer):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    class Raises(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            raise AppError

    routes = URLRouter([path("returns", Returns.as_asgi()), path("raises", Raises.as_asgi())])
    return WebSocketGuardMiddleware(ProtocolTypeRouter({"websocket": routes}))


@pytest.mark.parametrize("make", [fastapi, litestar, channels])
async def test_an_app_that_returns(make: Any) -> None:
    server = StrictServer("/returns")
    await server.run(make())
    assert server.client.denial is not None
    assert server.client.denial.status == 500
    assert server.violations == []


@pytest.mark.parametrize("make", [fastapi, channels])
async def test_an_app_that_raises(make: Any) -> None:
    server = StrictServer("/raises")
    with pytest.raises(AppError):
        await server.run(make())
    assert server.client.close_code == 1011
    assert server.violations == []


async def test_litestar_closes_by_itself() -> None:
    server = StrictServer("/raises")
    await server.run(litestar())
    assert server.client.close_code is not None
    assert server.violations == []
