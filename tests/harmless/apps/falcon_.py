"""Falcon."""

from __future__ import annotations

import asyncio
from typing import Any

import falcon.asgi
from falcon.asgi import Request, WebSocket

from harmless.client import Talk
from harmless.model import App, note, seconds


class Echo:
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        await ws.accept(subprotocol="chat")
        try:
            while True:
                await ws.send_text(await ws.receive_text())
        except falcon.WebSocketDisconnected as exc:
            note(f"left with {exc.code}")
        finally:
            await asyncio.sleep(seconds(12))
            note("ends")


class Media:
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        await ws.send_media({"heard": await ws.receive_media()})
        await ws.close(4000, "enough")
        note("ends")


class Sends:
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        try:
            for number in range(1000):
                await ws.send_text(f"{number}")
                await asyncio.sleep(seconds(1))
        finally:
            note("ends")


class Forbids:
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        raise falcon.HTTPForbidden()


class Closes:
    async def on_websocket(self, req: Request, ws: WebSocket) -> None:
        await ws.close()


def served() -> Any:
    app = falcon.asgi.App()
    for resource in (Echo(), Media(), Sends(), Forbids(), Closes()):
        app.add_route(f"/{type(resource).__name__.lower()}", resource)
    return app


async def says_and_leaves(talk: Talk) -> None:
    async with talk.connect("/echo", subprotocols=["chat"]) as client:
        await client.say("one", "two")
        await client.hear(2)
        await client.leave(3000)
    await talk.noted("ends")


async def is_closed(talk: Talk) -> None:
    async with talk.connect("/media") as client:
        await client.say('{"a": 1}')
        await client.hear_all()
    await talk.noted("ends")


async def hears_three(talk: Talk) -> None:
    async with talk.connect("/sends") as client:
        await client.hear(3)
    await talk.noted("ends")


def is_denied(path: str) -> Any:
    async def client(talk: Talk) -> None:
        async with talk.connect(path) as one:
            await one.hear_all()

    return client


APPS = (
    App("falcon-echo", served, says_and_leaves),
    App("falcon-media", served, is_closed),
    App("falcon-sends", served, hears_three),
    App("falcon-forbids", served, is_denied("/forbids")),
    App("falcon-closes", served, is_denied("/closes")),
    App("falcon-unknown", served, is_denied("/nowhere")),
)
