"""BlackSheep."""

from __future__ import annotations

import asyncio
from typing import Any

from blacksheep import Application, WebSocket, WebSocketDisconnectError
from blacksheep.server.routing import Router

from harmless.client import Talk
from harmless.model import App, note, seconds


def served() -> Any:
    app = Application(router=Router())
    starting = asyncio.Lock()

    @app.router.ws("/")
    async def echo(websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="chat")
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except WebSocketDisconnectError as exc:
            note(f"left with {exc.code}")
        finally:
            await asyncio.sleep(seconds(12))
            note("ends")

    @app.router.ws("/once/{name}")
    async def once(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await websocket.send_json({name: await websocket.receive_json()})
        await websocket.close(4000, "enough")
        note("ends")

    @app.router.ws("/returns")
    async def returns(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()

    async def started(scope: Any, receive: Any, send: Any) -> None:
        # In place of its lifespan.
        async with starting:
            if not app.started:
                await app.start()
        await app(scope, receive, send)

    return started


async def says_and_leaves(talk: Talk) -> None:
    async with talk.connect(subprotocols=["chat"]) as client:
        await client.say("one", "two")
        await client.hear(2)
        await client.leave(3000)
    await talk.noted("ends")


async def is_closed(talk: Talk) -> None:
    async with talk.connect("/once/ann") as client:
        await client.say('{"a": 1}')
        await client.hear_all()
    await talk.noted("ends")


def hears_all(path: str) -> Any:
    async def client(talk: Talk) -> None:
        async with talk.connect(path) as one:
            await one.hear_all()

    return client


APPS = (
    App("blacksheep-echo", served, says_and_leaves),
    App("blacksheep-once", served, is_closed),
    App("blacksheep-returns", served, hears_all("/returns")),
    App("blacksheep-unknown", served, hears_all("/nowhere")),
)
