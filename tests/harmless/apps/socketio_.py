"""python-socketio, with its own client: websocket, polling that is upgraded, a refusal, a kick."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import socketio

from harmless.client import Talk
from harmless.model import App, note, seconds


def served() -> Any:
    # Its ping task outlives a connection by up to an interval.
    server = socketio.AsyncServer(async_mode="asgi", ping_interval=seconds(10), ping_timeout=20, monitor_clients=False)

    @server.event
    async def connect(sid: str, environ: Any, auth: Any) -> None:
        if auth != "secret":
            raise ConnectionRefusedError("wrong secret")
        await server.enter_room(sid, "room")

    @server.event
    async def say(sid: str, text: Any) -> int:
        await server.emit("said", text, room="room")
        return len(text)

    @server.event
    async def kick(sid: str) -> None:
        await server.disconnect(sid)

    # 5: whoever knew that the client had left was cancelled, and the work was lost.
    @server.event
    async def disconnect(sid: str, reason: str) -> None:
        await server.emit("farewell", room="room", skip_sid=sid)
        await asyncio.sleep(seconds(12))
        note(f"{reason}, {len(list(server.manager.get_participants('/', 'room')))} in the room")
        note("handled")

    return socketio.ASGIApp(server)


@contextlib.asynccontextmanager
async def connected(
    talk: Talk, *transports: str, who: str = "", auth: str = "secret"
) -> AsyncIterator[socketio.AsyncClient]:
    """Connect, write down what comes, and disconnect."""
    client = socketio.AsyncClient(reconnection=False)
    client.over = asyncio.Event()

    @client.on("*")
    async def anything(event: str, *data: Any) -> None:
        talk.note(f"{event} {data!s:.60}", who)

    @client.event
    async def disconnect(reason: str) -> None:
        talk.note(f"disconnected: {reason}", who)
        client.over.set()

    @client.event
    async def connect_error(data: Any) -> None:
        talk.note(f"refused: {data}", who)

    url, path = talk.url(who=who, scheme="http"), f"{talk.play}/socket.io"
    try:
        await client.connect(url, auth=auth, transports=list(transports) or None, socketio_path=path, wait_timeout=30)
        talk.note(client.transport(), who)
    except socketio.exceptions.ConnectionError as exc:
        talk.note(f"{exc}", who)
    try:
        yield client
    finally:
        if client.connected:
            await client.disconnect()
        await client.eio.wait()


def chats(*transports: str) -> Any:
    async def client(talk: Talk) -> None:
        async with connected(talk, *transports) as ann:
            for text in ("hello", b"\x00\x01", "x" * 100_000):
                talk.note(f"{await ann.call('say', text, timeout=30)}")
        await talk.noted("handled")

    return client


async def refused(talk: Talk) -> None:
    async with connected(talk, "websocket", auth="guess"):
        pass


async def kicked(talk: Talk) -> None:
    async with connected(talk, "websocket") as client:
        await client.emit("kick")
        await client.over.wait()
    await talk.noted("handled")


async def two(talk: Talk) -> None:
    async with connected(talk, "websocket", who="ann") as ann:
        async with connected(talk, "websocket", who="bob"):
            await ann.call("say", "hello", timeout=30)
        await talk.noted("handled")
        await ann.call("say", "alone", timeout=30)


APPS = (
    App("socketio-websocket", served, chats("websocket")),
    App("socketio-upgrade", served, chats()),
    App("socketio-refusal", served, refused),
    App("socketio-kick", served, kicked),
    App("socketio-two", served, two),
)
