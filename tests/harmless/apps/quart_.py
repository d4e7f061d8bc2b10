"""Quart, and quart-trio, which runs on hypercorn's trio worker only."""

from __future__ import annotations

import asyncio
from typing import Any

import trio
from quart import Quart, abort, websocket
from quart_trio import QuartTrio

from harmless.client import Talk
from harmless.model import App, note, seconds


def add_echo(app: Any, work: Any) -> Any:
    # 5: who knew that the client had left was cancelled after 10 s, and the work was lost.
    @app.websocket("/")
    async def echo() -> None:
        try:
            while True:
                await websocket.send(await websocket.receive())
        finally:
            await work()
            note("saved")

    @app.websocket("/once")
    async def once() -> None:
        await websocket.accept(headers={"x-one": "1"}, subprotocol="chat")
        await websocket.send_json({"heard": await websocket.receive()})
        await websocket.close(4000, "enough")
        note("saved")

    @app.websocket("/returns")
    async def returns() -> None:
        await websocket.send("hello")

    @app.websocket("/forbidden")
    async def forbidden() -> None:
        abort(403)

    @app.websocket("/sends")
    async def sends() -> None:
        try:
            for number in range(1000):
                await websocket.send(f"{number}")
                await (trio if isinstance(app, QuartTrio) else asyncio).sleep(seconds(1))
        finally:
            note("over")

    return app


def quart() -> Any:
    async def work() -> None:
        await asyncio.sleep(seconds(12))

    return add_echo(Quart(__name__), work)


def quart_trio() -> Any:
    async def work() -> None:
        with trio.CancelScope(shield=True):
            await trio.sleep(seconds(12))

    return add_echo(QuartTrio(__name__), work)


async def says_and_leaves(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("hello", b"\x00")
        await client.hear(2)
    await talk.noted("saved")


async def says_and_vanishes(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("hello")
        await client.hear()
        await client.vanish()
    await talk.noted("saved")


async def is_closed(talk: Talk) -> None:
    async with talk.connect("/once", subprotocols=["chat"]) as client:
        await client.say("hello")
        await client.hear_all()
    await talk.noted("saved")


def hears_all(path: str) -> Any:
    async def client(talk: Talk) -> None:
        async with talk.connect(path) as one:
            await one.hear_all()

    return client


async def hears_three(talk: Talk) -> None:
    async with talk.connect("/sends") as client:
        await client.hear(3)
    await talk.noted("over")


CLIENTS = {
    "finally": says_and_leaves,
    "cut": says_and_vanishes,
    "closes": is_closed,
    "returns": hears_all("/returns"),
    "forbidden": hears_all("/forbidden"),
    "unknown": hears_all("/nowhere"),
    "sends": hears_three,
}

# Daphne gives no scheme, which Quart needs.
SERVERS = (
    "uvicorn-sansio",
    "uvicorn-websockets",
    "uvicorn-wsproto",
    "hypercorn-asyncio",
    "granian",
    "gunicorn-asgi",
)

APPS = (
    *(App(f"quart-{name}", quart, client, servers=SERVERS) for name, client in CLIENTS.items()),
    *(
        App(f"quart-trio-{name}", quart_trio, client, trio=True, servers=("hypercorn-trio",))
        for name, client in CLIENTS.items()
    ),
)
