"""What plain ASGI apps do."""

from __future__ import annotations

import asyncio
import time
from contextvars import ContextVar
from typing import Any

import anyio

from harmless.client import Talk
from harmless.model import App, note, seconds

CAN_DENY = ("uvicorn-sansio", "uvicorn-websockets", "uvicorn-wsproto", "hypercorn-asyncio", "hypercorn-trio", "granian")

sent: ContextVar[list[Any]] = ContextVar("sent")
value: ContextVar[str] = ContextVar("value")


def same_message(app: Any) -> Any:
    """Write down whether the server gets the very message that the app sent."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        messages: list[Any] = []
        sent.set(messages)

        async def watched(message: Any) -> None:
            if any(message is one for one in messages):
                note(f"the server gets its {message}")
            await send(message)

        await app(scope, receive, watched)

    return outer


async def loose(scope: Any, receive: Any, send: Any) -> None:
    """Send messages that are valid, and not as the guard would write them."""

    async def say(**message: Any) -> None:
        sent.get().append(message)
        await send(message)

    await receive()
    if scope["path"] == "/denied":
        await say(type="websocket.http.response.start", status=401, headers=[[b"x-why", b"no"]])
        await say(type="websocket.http.response.body", body=b"denied")
        return
    if scope["path"] == "/refused":
        await say(type="websocket.close")
        return
    await say(type="websocket.accept", headers=[[b"x-list", b"yes"]])
    await say(type="websocket.send", text="text", bytes=None)
    await say(type="websocket.close")


async def opens(talk: Talk) -> None:
    async with talk.connect(who="opened") as client:
        if client.connection is not None:
            client.note(f"x-list {client.connection.response.headers.get('x-list')}")
        await client.hear_all(within=10)
    async with talk.connect("/refused", who="refused"):
        pass


async def is_denied(talk: Talk) -> None:
    async with talk.connect("/denied", who="denied"):
        pass


async def firehose(scope: Any, receive: Any, send: Any) -> None:
    """Send without a pause, for as long as anybody else gets a turn, and a second at most."""
    await receive()
    await send({"type": "websocket.accept"})
    turns: list[float] = [time.monotonic()]

    async def others() -> None:
        while True:
            turns.append(time.monotonic())
            await anyio.sleep(0.01)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(others)
        until = time.monotonic() + 1.5
        try:
            while time.monotonic() < until and time.monotonic() - turns[-1] < 0.7:
                await send({"type": "websocket.send", "text": "x" * 100})
        except OSError:
            note("told by its send")
        finally:  # daphne may cancel it
            note("frozen" if time.monotonic() - turns[-1] >= 0.7 else "others had their turns")
            tasks.cancel_scope.cancel()


async def drinks_and_leaves(talk: Talk) -> None:
    async with talk.connect() as client:
        if client.connection is not None:
            await client.connection.recv()
        await client.vanish()
    await asyncio.sleep(2)


async def waiting_task(scope: Any, receive: Any, send: Any) -> None:
    """End while a task of its own waits in `receive()`. What runs in the server's task afterwards must not suffer."""
    await receive()
    await send({"type": "websocket.accept"})
    waiter = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await send({"type": "websocket.close", "code": 1000})
    note(f"cancelling {asyncio.current_task().cancelling()}")
    waiter.add_done_callback(lambda task: task.cancelled() or task.exception())


def then_a_group(app: Any) -> Any:
    async def outer(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        note(f"afterwards cancelling {asyncio.current_task().cancelling()}")
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(asyncio.sleep(0.05))
            note("its TaskGroup is done")
        except BaseException as exc:
            note(f"its TaskGroup: {exc!r}")
            raise

    return outer


def numbered(app: Any) -> Any:
    """Set a context variable for each message, as tracing does."""

    async def outer(scope: Any, receive: Any, send: Any) -> None:
        async def counted() -> Any:
            message = await receive()
            value.set(str(message.get("text") or message["type"]))
            return message

        await app(scope, counted, send)

    return outer


async def reads_value(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        note(f"{message.get('text') or message['type']} with {value.get()}")
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await anyio.sleep(seconds(3))
            await send({"type": "websocket.send", "text": value.get()})
        else:
            return


async def says_three(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("one", "two", "three")
        await client.hear(3)
        await asyncio.sleep(seconds(5))


class Broken(Exception):
    """An app's own."""


async def raises_unasked(scope: Any, receive: Any, send: Any) -> None:
    raise Broken


async def raises(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise Broken


async def hears_all(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.hear_all(within=20)


async def leaves_a_task(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})

    async def late() -> None:
        await asyncio.sleep(seconds(3))
        note("sends late")
        try:
            await send({"type": "websocket.send", "text": "late"})
            note("no error")
        except Exception as exc:
            note("an error of the server's")
            raise exc

    task = asyncio.ensure_future(late())
    task.add_done_callback(lambda task: None)
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def leaves(talk: Talk) -> None:
    async with talk.connect():
        pass
    await talk.noted("sends late")
    await asyncio.sleep(seconds(2))


APPS = (
    App("same-messages", lambda: loose, opens, trio=True, around=same_message),
    App("same-denial", lambda: loose, is_denied, trio=True, around=same_message, servers=CAN_DENY),
    # gunicorn 27.0.1 freezes, bare; where others have their turns its transport refuses to write, by a RuntimeError.
    App("firehose", lambda: firehose, drinks_and_leaves, trio=True, alone=True, servers=(*CAN_DENY, "daphne")),
    App("task-waits-in-receive", lambda: waiting_task, hears_all, around=then_a_group),
    App("context-variable", lambda: reads_value, says_three, trio=True, around=numbered),
    App("raises-unasked", lambda: raises_unasked, hears_all, trio=True),
    App("task-sends-late", lambda: leaves_a_task, leaves),
    App("raises", lambda: raises, hears_all, trio=True),
)
