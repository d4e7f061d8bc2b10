"""The building blocks of the misbehaving apps."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio
import anyio.to_thread

from asgi_wsguard.probe.model import (
    App,
    Denied,
    Message,
    Outcome,
    Receive,
    Scenario,
    Send,
)
from asgi_wsguard.probe.visit import VISIT, note


class ProbeError(Exception):
    """The exception that a scenario's app raises."""


SECRET = "the text of an app's exception"
"""It must appear in the log, and must not reach a client."""

SCENARIOS: list[Scenario] = []


def scenario(clause: str, title: str, client_gets: Outcome, *app_sees: str, **more: Any) -> Callable[[App], App]:
    """Add the app to the scenarios, under the function's name."""

    def add(app: App) -> App:
        name = app.__name__.replace("_", "-")
        SCENARIOS.append(Scenario(name, clause, title, app, client_gets, **{"app_sees": app_sees, **more}))
        return app

    return add


# The guard's own denial.
INTERNAL_ERROR = Denied(500, b"Internal Server Error", (("content-type", "text/plain; charset=utf-8"),))
UNAVAILABLE = Denied(503, b"Service Unavailable")
TOKEN = (b"x-probe", b"kept")
KEPT = (("x-probe", "kept"),)


async def accept(receive: Receive, send: Send, **more: Any) -> None:
    """Receive the connect, and accept."""
    await receive()
    await send({"type": "websocket.accept", **more})


async def until_disconnect(receive: Receive) -> Message:
    """Receive until the disconnect."""
    message = await receive()
    while message["type"] != "websocket.disconnect":
        message = await receive()
    return message


async def push(send: Send) -> None:
    """Send forever."""
    while True:
        await send({"type": "websocket.send", "text": "news"})
        await anyio.sleep(0.01)


async def attempt(send: Send, message: Message) -> None:
    """Send, and note how the guard reacts."""
    try:
        await send(message)
    except Exception as error:
        note(type(error).__name__)
    else:
        note("sent")


async def be_cancelled() -> None:
    """Be cancelled, as by a server that is stopping."""
    VISIT.get().server.cancel()
    await anyio.sleep_forever()


async def stay() -> None:
    """Wait until cancelled."""
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        note("cancelled")
        raise


async def in_thread(work: Callable[[], Any]) -> None:
    """Wait for a thread, which cannot be cancelled."""
    await anyio.to_thread.run_sync(work)


def in_background(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Start a task that outlives the app."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        from contextvars import copy_context

        import trio

        trio.lowlevel.spawn_system_task(work, context=copy_context())
    else:
        task = loop.create_task(work())
        _background.add(task)
        task.add_done_callback(_background.discard)


_background: Any = set()


def start(status: int = 401, *headers: tuple[bytes, bytes]) -> Message:
    """Return the start of a denial response."""
    return {"type": "websocket.http.response.start", "status": status, "headers": [TOKEN, *headers]}


def body(data: bytes, more: bool = False) -> Message:
    """Return a body message of a denial response."""
    return {"type": "websocket.http.response.body", "body": data, "more_body": more}
