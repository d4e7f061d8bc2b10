"""Clause E6: two things happen at once, and the result is legal either way."""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

from typing import Any

import anyio

from asgi_wsguard.probe.model import (
    Closed,
    Denied,
    Gone,
    Leave,
    OneOf,
    Outcome,
    Pause,
    Receive,
    Say,
    Scope,
    Send,
    Step,
    Vanish,
)
from asgi_wsguard.probe.scenarios.parts import accept, attempt, scenario, stay, until_disconnect

DEADLINE = 0.2
# A server may refuse a message with its own error if the client has just left.
EITHER: Any = {"logs": None, "raises": None}


def accepts_against(name: str, title: str, leaving: Vanish) -> None:
    """Add a scenario whose client leaves right after its request."""

    async def accepts(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await until_disconnect(receive)

    accepts.__name__ = name
    scenario("E6", title, Gone(), early=(leaving,), options={"max_lifetime": 1.0}, **EITHER)(accepts)


accepts_against("accepts_and_hung_up", "accepts as the client hangs up", Vanish(reset=False))
accepts_against("accepts_and_reset", "accepts as the client resets the connection", Vanish())


def closes_against(name: str, title: str, client_gets: Outcome, leaving: Step) -> None:
    """Add a scenario whose client leaves right after the message on which the app closes."""

    async def closes(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await receive()
        await send({"type": "websocket.close", "code": 4001})
        await until_disconnect(receive)

    closes.__name__ = name
    scenario("E6", title, client_gets, steps=(Say("close"), leaving), options={"exit_timeout": DEADLINE}, **EITHER)(
        closes
    )


closes_against("closes_and_left", "closes as the client leaves", OneOf((Closed(4001), Closed(1000))), Leave())
closes_against("closes_and_vanished", "closes as the client vanishes", Gone(), Vanish())


@scenario(
    "E6",
    "never answers, and the client hangs up at the deadline",
    Gone(),
    "cancelled",
    **EITHER,
    early=(Pause(DEADLINE), Vanish(reset=False)),
    options={"handshake_timeout": DEADLINE, "exit_timeout": DEADLINE},
    app_stays=DEADLINE,
)
async def awaits_and_hung_up(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await stay()


@scenario(
    "E6",
    "accepts at the deadline",
    OneOf((Denied(503, b"Service Unavailable"), Closed(4001))),
    app_sees=None,
    **EITHER,
    options={"handshake_timeout": DEADLINE},
    client_waits=DEADLINE,
)
async def accepts_at_deadline(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.sleep(DEADLINE)
    await attempt(send, {"type": "websocket.accept"})
    await attempt(send, {"type": "websocket.close", "code": 4001})


@scenario(
    "E6",
    "has a client that leaves at max_lifetime",
    # 1006: a server that ends without having read the client's close frame resets the connection.
    OneOf((Closed(1000), Closed(1001), Closed(1006))),
    **EITHER,
    steps=(Pause(DEADLINE), Leave()),
    options={"max_lifetime": DEADLINE},
    client_waits=DEADLINE,
)
async def lives_and_left(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
