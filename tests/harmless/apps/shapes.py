"""What is built on websockets: an LLM's stream, a voice agent, a proxy, threads, big messages."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from typing import Any

import anyio
import websockets
from asgiref.sync import async_to_sync, sync_to_async
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.exceptions import WebSocketException
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.routing import Mount, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from harmless.client import Talk
from harmless.model import App, note, seconds


def llm() -> FastAPI:
    app = FastAPI()

    async def tokens() -> Any:
        try:
            for number in range(10):  # daphne cancels an app 10 seconds after the end
                yield f"token {number}"
                await anyio.sleep(seconds(0.5))
        finally:
            note("the model's stream is closed")

    @app.websocket("/")
    async def stream(websocket: WebSocket) -> None:
        await websocket.accept()
        prompt = await websocket.receive_text()
        answer = []
        generator = tokens()
        try:
            async for token in generator:
                answer.append(token)
                await websocket.send_text(token)
        except WebSocketDisconnect:
            note("the client left in the middle")
        finally:
            await generator.aclose()
            with anyio.CancelScope(shield=True):
                await anyio.sleep(seconds(2))
            note(f"{prompt} is saved")

    return app


async def leaves_in_the_middle(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("prompt")
        await client.hear(3)
    await talk.noted("prompt is saved")


def voice() -> FastAPI:
    """Media in, media out, by two tasks, and a summary after the call."""
    app = FastAPI()

    @app.websocket("/call")
    async def call(websocket: WebSocket) -> None:
        await websocket.accept()
        send, receive = anyio.create_memory_object_stream[bytes](100)
        frames = 0

        async def listen() -> None:
            nonlocal frames
            async with send:
                try:
                    async for frame in websocket.iter_bytes():
                        frames += 1
                        await send.send(frame)
                finally:
                    note(f"the caller hung up after {frames} frames")

        async def speak() -> None:
            async with receive:
                async for frame in receive:
                    await anyio.sleep(seconds(0.2))
                    await websocket.send_bytes(frame[::-1])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            tasks.start_soon(speak)
        await anyio.sleep(seconds(20))
        note("the summary is saved")

    return app


async def calls(talk: Talk) -> None:
    async with talk.connect("/call") as client:
        for number in range(5):
            await client.say(bytes([number, 0]) * 80)
        await client.hear(5)
    await talk.noted("the summary is saved")


async def upstream(connection: Any) -> None:
    async for message in connection:
        if message == "end":
            await connection.close(4321, "upstream is done")
            return
        await connection.send(f"upstream {message}")


async def proxy(scope: Any, receive: Any, send: Any) -> None:
    """Pass on what comes either way, until one side ends."""
    websocket = WebSocket(scope, receive, send)
    port = websocket.query_params["port"]
    async with websockets.connect(f"ws://127.0.0.1:{port}", proxy=None) as other:
        await websocket.accept()

        async def up() -> None:
            try:
                async for message in websocket.iter_text():
                    await other.send(message)
            finally:
                note("the client's side ended")

        async def down() -> None:
            with contextlib.suppress(websockets.ConnectionClosedError):  # by a code other than 1000
                async for message in other:
                    await websocket.send_text(message)
            note(f"upstream ended with {other.close_code}")
            await websocket.close(other.close_code, other.close_reason)

        tasks = [asyncio.ensure_future(up()), asyncio.ensure_future(down())]
        _, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.wait(tasks)
    note("both are closed")


async def both_ends(talk: Talk) -> None:
    async with websockets.serve(upstream, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with talk.connect(f"/?port={port}", who="ended") as client:
            await client.say("one", "end")
            await client.hear_all()
        async with talk.connect(f"/?port={port}", who="leaves") as client:
            await client.say("one")
            await client.hear()
        await asyncio.sleep(seconds(10))


async def threads(scope: Any, receive: Any, send: Any) -> None:
    """Talk from a worker thread, as synchronous code does."""
    websocket = WebSocket(scope, receive, send)
    await websocket.accept()

    def work() -> None:
        for _ in range(3):
            text = async_to_sync(websocket.receive_text)()
            async_to_sync(websocket.send_text)(text.upper())
        try:
            async_to_sync(websocket.receive_text)()
        except WebSocketDisconnect as exc:
            note(f"disconnect {exc.code}")

    await sync_to_async(work)()
    note("the thread is done")


async def speaks_to_a_thread(talk: Talk) -> None:
    async with talk.connect() as client:
        for word in ("one", "two", "three"):
            await client.say(word)
            await client.hear()
    await talk.noted("the thread is done")


async def digest(scope: Any, receive: Any, send: Any) -> None:
    websocket = WebSocket(scope, receive, send)
    await websocket.accept()
    async for data in websocket.iter_bytes():
        note(f"{len(data)} bytes, {hashlib.sha256(data).hexdigest()[:8]}")
        await websocket.send_bytes(data)


async def sends_much(talk: Talk) -> None:
    async with talk.connect() as client:
        for size in (1, 70_000, 900_000):
            await client.say(bytes(range(250)) * (size // 250 + 1))
            await client.hear()


def middlewares() -> Starlette:
    """What stands around websockets in real apps, and what is raised for them."""

    async def passes(request: Any, call_next: Any) -> Any:
        return await call_next(request)

    async def room(websocket: WebSocket) -> None:
        note(f"room {websocket.path_params['name']}, session {websocket.session}")
        if websocket.path_params["name"] == "secret":
            raise WebSocketException(4003, "not yours")
        await websocket.accept()
        if websocket.path_params["name"] == "broken":
            raise ValueError
        if websocket.path_params["name"] == "closing":
            raise WebSocketException(4004, "closing")
        await websocket.send_text(str(websocket.url_for("inner:room", name="x").path))
        async for text in websocket.iter_text():
            await websocket.send_text(text)

    async def handled(websocket: WebSocket, exc: Exception) -> None:
        note(f"handler of {type(exc).__name__}")
        await websocket.close(4500, "handled")

    inner = Starlette(routes=[WebSocketRoute("/{name}", room, name="room")])
    app = Starlette(routes=[Mount("/inner", inner, name="inner")], exception_handlers={ValueError: handled})
    app.add_middleware(BaseHTTPMiddleware, dispatch=passes)
    app.add_middleware(GZipMiddleware)
    app.add_middleware(SessionMiddleware, secret_key="secret")
    return app


async def rooms(talk: Talk) -> None:
    for name in ("open", "secret", "broken", "closing", "none/such"):
        async with talk.connect(f"/inner/{name}", who=name) as client:
            if name == "open":
                await client.say("hello")
                await client.hear(2)
            else:
                await client.hear_all(within=10)


APPS = (
    App("llm-stream", llm, leaves_in_the_middle, trio=True),
    App("voice-agent", voice, calls, trio=True),
    App("proxy", lambda: proxy, both_ends),
    App("threads", lambda: threads, speaks_to_a_thread),
    App("big-messages", lambda: digest, sends_much, trio=True),
    App("starlette-middlewares", middlewares, rooms, trio=True),
)
