"""The apps that test_check_frameworks.py checks."""

from __future__ import annotations

from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path
from fastapi import FastAPI, WebSocket
from litestar import Litestar, websocket
from litestar import WebSocket as LitestarSocket
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

settings.configured or settings.configure()
fastapi = FastAPI()


@fastapi.websocket("/works")
async def fastapi_works(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        await websocket.send_text(await websocket.receive_text())


@fastapi.websocket("/returns")
async def fastapi_returns(websocket: WebSocket) -> None: ...


async def starlette_works(websocket: Any) -> None:
    await fastapi_works(websocket)


async def starlette_returns(websocket: Any) -> None: ...


starlette = Starlette(routes=[WebSocketRoute("/works", starlette_works), WebSocketRoute("/returns", starlette_returns)])


@websocket("/works")
async def litestar_works(socket: LitestarSocket) -> None:
    await socket.accept()
    while True:
        await socket.send_text(await socket.receive_text())


@websocket("/returns")
async def litestar_returns(socket: LitestarSocket) -> None: ...


litestar = Litestar([litestar_works, litestar_returns])


class Works(AsyncWebsocketConsumer):
    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data)


class Returns(AsyncWebsocketConsumer):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


channels = ProtocolTypeRouter(
    {"websocket": URLRouter([path("works", Works.as_asgi()), path("returns", Returns.as_asgi())])}
)
