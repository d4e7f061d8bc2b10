"""Clauses E: the end."""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

import anyio

from asgi_wsguard.probe.model import (
    Closed,
    Gone,
    Leave,
    Receive,
    Scope,
    Send,
    Vanish,
)
from asgi_wsguard.probe.scenarios.parts import (
    INTERNAL_ERROR,
    SECRET,
    ProbeError,
    accept,
    scenario,
    until_disconnect,
)


@scenario("E2", "ends by a failed send", Closed(1000), logs="DEBUG E2", steps=(Leave(),))
async def ends_by_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await send({"type": "websocket.send", "text": "late"})


@scenario("E2", "ends by a failed send, after the client vanished", Gone(), logs="DEBUG E2", steps=(Vanish(),))
async def ends_by_vanishing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await send({"type": "websocket.send", "text": "late"})


@scenario("E3", "raises after the client left", Closed(1000), raises="ProbeError", logs="ERROR O2", steps=(Leave(),))
async def raises_after_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    raise ProbeError(SECRET)


@scenario("E6", "sends from many tasks, which all close at once", Closed(4001, messages=("hello",) * 10))
async def crowd(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(send, {"type": "websocket.send", "text": "hello"})
    async with anyio.create_task_group() as tasks:
        for _ in range(10):
            tasks.start_soon(send, {"type": "websocket.close", "code": 4001})


@scenario("E8", "returns at once, under two guards", INTERNAL_ERROR, logs="ERROR H1", guards=2)
async def returns_twice_guarded(scope: Scope, receive: Receive, send: Send) -> None:
    pass


@scenario(
    "E8", "raises after it accepted, under two guards", Closed(1011), raises="ProbeError", logs="ERROR O2", guards=2
)
async def raises_twice_guarded(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    raise ProbeError(SECRET)
