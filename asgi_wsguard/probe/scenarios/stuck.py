"""Clause H4: the app does not answer the handshake, and does not end on its own."""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any, Callable

import anyio
import anyio.abc

from asgi_wsguard.probe.model import App, Receive, Scope, Send
from asgi_wsguard.probe.scenarios.parts import UNAVAILABLE, attempt, in_thread, scenario, stay
from asgi_wsguard.probe.visit import VISIT

DEADLINE = 0.2
OPTIONS = {"handshake_timeout": DEADLINE}

AT_MOST = 10.0
"""The longest time that a scenario's thread works, in seconds, in case nobody releases it."""


def stuck(title: str, *app_sees: str, **more: Any) -> Callable[[App], App]:
    """Add a scenario whose client gets 503 at the deadline."""
    times = {"client_waits": DEADLINE, "app_stays": DEADLINE}
    return scenario("H4", title, UNAVAILABLE, *app_sees, logs="ERROR H4", options=OPTIONS, **times, **more)


@stuck("never answers the handshake", "cancelled")
async def awaits(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await stay()


@stuck("never answers the handshake, and never receives", "cancelled")
async def awaits_without_receiving(scope: Scope, receive: Receive, send: Send) -> None:
    await stay()


@stuck("waits for the client to speak first")
async def listens_first(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await receive()


@stuck("waits for a lock that another task holds")
async def waits_for_lock(scope: Scope, receive: Receive, send: Send) -> None:
    lock = anyio.Lock()

    async def hold(*, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with lock:
            task_status.started()
            await anyio.sleep_forever()

    await receive()
    async with anyio.create_task_group() as tasks:
        await tasks.start(hold)
        await lock.acquire()


# What these apps see depends on the event loop: anyio's shield does not stop asyncio's own `Task.cancel()`.
@stuck("blocks in a thread", app_sees=None)
async def works_in_thread(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await in_thread(partial(VISIT.get().released.wait, AT_MOST))
    await attempt(send, {"type": "websocket.accept"})


@stuck("waits in a shield", app_sees=None)
async def shields(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    with anyio.CancelScope(shield=True):
        while not VISIT.get().released.is_set():
            await anyio.sleep(0.01)
    await attempt(send, {"type": "websocket.accept"})


@stuck("swallows its cancellation", "ClientDisconnected", dropped={"app_sees": ("sent",)})
async def swallows(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    while not VISIT.get().released.is_set():
        with contextlib.suppress(anyio.get_cancelled_exc_class()):
            await anyio.sleep(0.01)
    await attempt(send, {"type": "websocket.accept"})
