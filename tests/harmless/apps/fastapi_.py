"""FastAPI: dependencies, exception handlers, mounted apps, the documentation's examples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, WebSocketException, status
from starlette.websockets import WebSocket, WebSocketDisconnect

from harmless.client import Talk
from harmless.model import App, note, seconds


class Denied(Exception):
    """The app's own, with a handler."""


async def database() -> AsyncIterator[str]:
    note("session opens")
    try:
        yield "session"
    except Exception as exc:
        note(f"session rolls back for {type(exc).__name__}")
        raise
    else:
        note("session commits")
    finally:
        note("session closes")


def lock() -> Iterator[None]:
    """A synchronous one, which runs in a thread."""
    note("lock taken")
    yield
    note("lock given back")


async def token(
    websocket: WebSocket, session: Annotated[str | None, Cookie()] = None, key: Annotated[str | None, Header()] = None
) -> str:
    """As the documentation has it."""
    if session is None and key is None:
        raise WebSocketException(code=status.WS_1008_POLICY_VIOLATION)
    return session or key or ""


def dependencies() -> FastAPI:
    app = FastAPI()
    router = APIRouter(prefix="/api", dependencies=[Depends(lock)])

    @router.websocket("/{name}")
    async def room(websocket: WebSocket, name: str, session: Annotated[str, Depends(database)]) -> None:
        await websocket.accept()
        await websocket.send_json({"name": name, "session": session})
        try:
            while True:
                text = await websocket.receive_text()
                if text == "raise":
                    raise Denied(name)
                if text == "return":
                    await websocket.close(1001)
                    return
                await websocket.send_text(text)
        except WebSocketDisconnect as exc:
            note(f"left with {exc.code} {exc.reason!r}")

    @router.websocket("/early/{name}")
    async def early(websocket: WebSocket, name: str, session: Annotated[str, Depends(database)]) -> None:
        raise Denied(name)

    async def handler(websocket: WebSocket, exc: Denied) -> None:
        note(f"handler: {exc}")
        await websocket.close(4403, f"not for {exc}")

    app.include_router(router)
    app.add_exception_handler(Denied, handler)

    @app.websocket("/token")
    async def with_token(websocket: WebSocket, token: Annotated[str, Depends(token)]) -> None:
        await websocket.accept()
        await websocket.send_text(token)
        await websocket.close()

    outer = FastAPI()
    outer.mount("/v1", app)
    return outer


async def all_ways(talk: Talk) -> None:
    for word in ("leave", "raise", "return"):
        async with talk.connect(f"/v1/api/{word}", who=word) as client:
            await client.hear()
            if word != "leave":
                await client.say(word)
                await client.hear_all(within=10)
            else:
                await client.say("hello")
                await client.hear()
                await client.leave(3000, "bye")
    async with talk.connect("/v1/api/early/ann", who="early"):
        pass
    async with talk.connect("/v1/token", who="without token"):
        pass
    async with talk.connect("/v1/token", who="with token", additional_headers={"cookie": "session=abc"}) as client:
        await client.hear_all(within=10)
    await asyncio.sleep(seconds(3))


def background() -> FastAPI:
    """Read and write by two tasks, of which the first that ends takes the other with it."""
    app = FastAPI()

    @app.websocket("/")
    async def room(websocket: WebSocket) -> None:
        await websocket.accept()

        async def ticks() -> None:
            number = 0
            while True:
                await websocket.send_text(f"tick {number}")
                number += 1
                await asyncio.sleep(seconds(1))

        ticking = asyncio.create_task(ticks())
        try:
            async for text in websocket.iter_text():
                note(text)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            note("stopped")

    return app


async def hears_ticks(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("hello")
        await client.hear(3)
    await talk.noted("stopped", within=10)


def documented() -> Any:
    """The `ConnectionManager` of the documentation, with clients that leave as it expects."""
    app = FastAPI()
    active: list[WebSocket] = []

    async def broadcast(message: str) -> None:
        for one in active:
            await one.send_text(message)

    @app.websocket("/ws/{client_id}")
    async def room(websocket: WebSocket, client_id: int) -> None:
        await websocket.accept()
        active.append(websocket)
        try:
            while True:
                data = await websocket.receive_text()
                await websocket.send_text(f"You wrote: {data}")
                await broadcast(f"Client #{client_id} says: {data}")
        except WebSocketDisconnect:
            active.remove(websocket)
            await broadcast(f"Client #{client_id} left the chat")
            note(f"{len(active)} are there")

    return app


async def three_chat(talk: Talk) -> None:
    async with talk.connect("/ws/1", who="1") as one:
        async with talk.connect("/ws/2", who="2") as two:
            await two.say("hello")
            await two.hear(2)
            await one.hear()
            await one.say("hi")
            await one.hear(2)
            await two.hear()
        await one.hear()
        async with talk.connect("/ws/3", who="3") as three:
            await three.say("there?")
            await three.hear(2)
            await one.hear()
            await three.vanish()
        await one.hear()
    async with talk.connect("/ws/none", who="none"):
        pass


APPS = (
    App("fastapi-dependencies", dependencies, all_ways, trio=True),
    App("fastapi-two-tasks", background, hears_ticks),
    App("fastapi-connection-manager", documented, three_chat, trio=True),
)
