"""Litestar's handlers, listeners and streams. A stream that is interrupted is in `litestar_`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from litestar import Litestar, WebSocket, websocket, websocket_listener, websocket_stream
from litestar.di import NamedDependency, Provide
from litestar.exceptions import NotAuthorizedException, WebSocketDisconnect
from litestar.handlers import WebsocketListener

from harmless.client import Talk
from harmless.model import App, note, seconds


@contextlib.asynccontextmanager
async def lifespan(socket: WebSocket) -> AsyncIterator[None]:
    note("begins")
    try:
        yield
    finally:
        await asyncio.sleep(seconds(12))
        note("ends")


async def resource() -> AsyncGenerator[str, None]:
    try:
        yield "resource"
    finally:
        note("released")


@websocket_listener("/listener", connection_lifespan=lifespan)
async def listener(data: dict[str, int]) -> dict[str, int]:
    return {"double": 2 * data["number"]}


class Greets(WebsocketListener):
    path = "/class"

    async def on_accept(self, socket: WebSocket) -> None:
        note("accepted")

    async def on_disconnect(self, socket: WebSocket) -> None:
        await asyncio.sleep(seconds(12))
        note("ends")

    def on_receive(self, data: str) -> str:
        return f"hello {data}"


@websocket("/handler", dependencies={"value": Provide(resource)})
async def handler(socket: WebSocket, value: NamedDependency[str]) -> None:
    await socket.accept(subprotocols="chat")
    try:
        while True:
            await socket.send_json({value: await socket.receive_text()})
    except WebSocketDisconnect as exc:
        note(f"left with {exc.code}")
        await asyncio.sleep(seconds(12))
        note("ends")


@websocket("/unauthorized")
async def unauthorized(socket: WebSocket) -> None:
    raise NotAuthorizedException("no")


@websocket_stream("/stream")
async def stream() -> AsyncGenerator[dict[str, int], None]:
    try:
        for number in range(1000):
            yield {"number": number}
            await asyncio.sleep(seconds(1))
    finally:
        note("ends")


def served() -> Any:
    return Litestar([listener, Greets, handler, unauthorized, stream])


def says(path: str, *messages: str, **options: Any) -> Any:
    async def client(talk: Talk) -> None:
        async with talk.connect(path, **options) as one:
            for message in messages:
                await one.say(message)
                await one.hear()
        await talk.noted("ends")

    return client


async def hears_three(talk: Talk) -> None:
    async with talk.connect("/stream") as client:
        await client.hear(3)
    await talk.noted("ends")


async def is_denied(talk: Talk) -> None:
    async with talk.connect("/unauthorized") as client:
        await client.hear_all()


APPS = (
    App("litestar-listener", served, says("/listener", '{"number": 1}', '{"number": 2}')),
    App("litestar-listener-class", served, says("/class", "ann", "bob")),
    App("litestar-handler", served, says("/handler", "one", "two", subprotocols=["chat"])),
    App("litestar-stream", served, hears_three),
    App("litestar-denies", served, is_denied),
)
