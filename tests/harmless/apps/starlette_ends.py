"""What Starlette and FastAPI apps do when a client leaves."""

from __future__ import annotations

import array
import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, Query
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from harmless.client import Talk
from harmless.model import App, note, seconds

CAN_DENY = ("uvicorn-sansio", "uvicorn-websockets", "uvicorn-wsproto", "hypercorn-asyncio", "hypercorn-trio", "granian")


class ConnectionManager:
    """As FastAPI's documentation has it."""

    def __init__(self) -> None:
        self.active: list[tuple[str, WebSocket]] = []

    async def connect(self, name: str, websocket: WebSocket) -> None:
        await websocket.accept()
        self.active.append((name, websocket))

    def disconnect(self, websocket: WebSocket) -> None:
        self.active = [one for one in self.active if one[1] is not websocket]

    async def broadcast(self, message: str) -> None:
        for _, connection in self.active:
            await connection.send_text(message)


def chat() -> FastAPI:
    app = FastAPI()
    manager = ConnectionManager()
    finish = anyio.Event()

    @app.websocket("/{name}")
    async def room(websocket: WebSocket, name: str) -> None:
        await manager.connect(name, websocket)
        note("joined")
        try:
            while True:
                message = await websocket.receive_text()
                if message == "finish":
                    finish.set()
                if message.startswith("work"):
                    note("works")
                    with anyio.move_on_after(seconds(float(message.split()[1]))):
                        await finish.wait()
                    note("report saved")
                await manager.broadcast(f"{name}: {message}")
        except WebSocketDisconnect:
            manager.disconnect(websocket)
            note(f"left, {len(manager.active)} are there")
            await manager.broadcast(f"{name} left")

    return app


async def leaves_while_busy(talk: Talk) -> None:
    """A broadcasts while B is busy and has no client any more."""
    # Some servers do not answer its close while the app is busy.
    async with talk.connect("/bob", who="bob", close_timeout=seconds(5)) as bob, talk.connect("/ann", who="ann") as ann:
        await bob.say("work 1000")
        await talk.noted("works")
        await bob.leave()
        await ann.say("one", "two")
        await ann.hear(2)
        await ann.say("finish")
        await talk.noted("report saved", within=20)
        await asyncio.sleep(seconds(3))
        await ann.say("three")
        await ann.hear(4, within=5)


async def leaves_long_before(talk: Talk) -> None:
    """B's message takes 13 seconds, and A broadcasts afterwards only."""
    async with talk.connect("/bob", who="bob") as bob, talk.connect("/ann", who="ann") as ann:
        await bob.say("work 13")
        await talk.noted("works")
        await bob.leave()
        await talk.noted("report saved", within=20)
        await ann.hear(within=5)
        await ann.say("one", "two")
        await ann.hear(3, within=5)


async def job(where: str) -> None:
    try:
        note(f"job begun in {where}")
        await anyio.sleep(seconds(12))
    except BaseException as exc:
        note(f"job lost: {type(exc).__name__}")
        raise
    note(f"job saved in {where}")


async def session() -> AsyncIterator[str]:
    try:
        yield "session"
    finally:
        await job("dependency")


def worker() -> FastAPI:
    app = FastAPI()

    @app.websocket("/except")
    async def in_except(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        except WebSocketDisconnect:
            await job("except")

    @app.websocket("/finally")
    async def in_finally(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            await websocket.receive_text()
        finally:
            await job("finally")

    @app.websocket("/dependency")
    async def in_dependency(websocket: WebSocket, session: Annotated[str, Depends(session)]) -> None:
        await websocket.accept()
        async for _ in websocket.iter_text():
            pass

    @app.websocket("/close")
    async def after_close(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.close(4000)
        await job("close")

    @app.websocket("/shield")
    async def in_shield(websocket: WebSocket) -> None:
        await websocket.accept()
        with anyio.CancelScope(shield=True):
            await job("shield")

    @app.websocket("/denial")
    async def after_denial(websocket: WebSocket) -> None:
        response = PlainTextResponse("not yet", 425, background=BackgroundTask(job, "denial"))
        await websocket.send_denial_response(response)

    return app


def leaves(path: str) -> Any:
    async def client(talk: Talk) -> None:
        async with talk.connect(path) as one:
            if path in ("/close", "/denial"):
                await one.hear()
        await talk.noted(f"job saved in {path[1:]}", within=20)

    return client


async def sends(websocket: WebSocket) -> None:
    """Send what is not quite right, and is delivered by some servers."""
    await websocket.accept()
    what: dict[str, Any] = {
        "text": {"bytes": "text"},
        "bytes": {"text": b"bytes"},
        "array": {"bytes": array.array("H", [1, 2])},
        "memoryview": {"bytes": memoryview(b"view")},
        "bytearray": {"bytes": bytearray(b"array")},
    }
    try:
        await websocket.send({"type": "websocket.send", **what[websocket.url.path[1:]]})
        note("sent")
    except Exception as exc:
        note(f"not sent: {type(exc).__name__}")
        raise
    await websocket.receive()


async def hears_one(talk: Talk) -> None:
    for kind in ("text", "bytes", "array", "memoryview", "bytearray"):
        async with talk.connect(f"/{kind}", who=kind) as client:
            await client.hear(within=10)


async def three_senders(websocket: WebSocket) -> None:
    await websocket.accept()

    async def send(number: int) -> None:
        for _ in range(12):
            await websocket.send_text("tick")
            await anyio.sleep(seconds(0.5))
        note("done", who=str(number))

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(send, number)


async def hears_some(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.hear(3)
    await anyio.sleep(seconds(10))


def validates() -> FastAPI:
    app = FastAPI()

    @app.websocket("/")
    async def room(websocket: WebSocket, number: Annotated[int, Query()]) -> None:
        await websocket.accept()
        note(f"number {number}")
        await websocket.close()

    return app


def accepts_first() -> FastAPI:
    """A dependency accepts, so that what the next one says of the query comes as a close."""
    app = FastAPI()

    async def accepted(websocket: WebSocket) -> None:
        await websocket.accept()

    @app.websocket("/", dependencies=[Depends(accepted)])
    async def room(number: Annotated[int, Query()]) -> None:
        note(f"number {number}")

    return app


async def gives_a_word(talk: Talk) -> None:
    for query, who in (("number=5", "five"), ("number=five", "word"), ("", "none")):
        async with talk.connect(f"/?{query}", who=who) as client:
            await client.hear_all(within=10)


def starlette(endpoint: Any) -> Any:
    return lambda: Starlette(routes=[WebSocketRoute("/{rest:path}", endpoint)])


APPS = (
    App("broadcast-to-one-who-left", chat, leaves_while_busy, trio=True),
    App("leaves-while-busy", chat, leaves_long_before, trio=True),
    App("long-cleanup-except", worker, leaves("/except"), trio=True),
    App("long-cleanup-finally", worker, leaves("/finally"), trio=True),
    App("long-cleanup-dependency", worker, leaves("/dependency"), trio=True),
    App("long-work-after-close", worker, leaves("/close"), trio=True),
    App("long-work-after-denial", worker, leaves("/denial"), trio=True, servers=CAN_DENY),
    App("shielded-work", worker, leaves("/shield"), trio=True),
    App("buffers", starlette(sends), hears_one, trio=True),
    App("three-senders", starlette(three_senders), hears_some, trio=True),
    App("fastapi-validation", validates, gives_a_word, trio=True),
    App("fastapi-validation-after-accept", accepts_first, gives_a_word, trio=True),
)
