"""Plain ASGI apps, as simple ones are."""

from __future__ import annotations

from typing import Any

import anyio

from harmless.client import Talk
from harmless.model import App, note, seconds


async def echo(scope: Any, receive: Any, send: Any) -> None:
    note((await receive())["type"])
    await send({"type": "websocket.accept", "subprotocol": (scope["subprotocols"] or [None])[0]})
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
    note(f"{message['type']} {message['code']}")


async def says_and_leaves(talk: Talk) -> None:
    async with talk.connect("/", subprotocols=["chat"]) as client:
        for message in ("hello", b"\x00\xff", "x" * 100_000):
            await client.say(message)
            await client.hear()
        await client.leave(3000, "bye")


async def cold_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await anyio.sleep(seconds(25))
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "ready"})
    await send({"type": "websocket.close", "code": 1000})
    note("done")


async def waits(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.hear_all()


APPS = (
    App("echo", lambda: echo, says_and_leaves, trio=True),
    App("cold-start", lambda: cold_start, waits, trio=True),
)
