"""Clauses H12, O7, O8 and O12: the connection is over, and the app does not notice, or ignores it."""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

import contextlib
from typing import Any

import anyio
import anyio.lowlevel

from asgi_wsguard.probe.model import (
    Closed,
    Denied,
    Early,
    Gone,
    Hear,
    Leave,
    Message,
    Outcome,
    Receive,
    Say,
    Scope,
    Send,
    Step,
    Until,
    Vanish,
)
from asgi_wsguard.probe.scenarios.parts import accept, attempt, body, push, scenario, start, stay, until_disconnect
from asgi_wsguard.probe.visit import note

EXIT = 0.1
# Before the handshake is answered, granian (2.8.7) does not tell the app that the client has left.
UNTOLD = {"handshake_timeout": 1.5}
OUTLIVES: Any = {"logs": "WARNING O12", "options": {"exit_timeout": EXIT, **UNTOLD}, "app_stays": EXIT}
# If the server drops a message, the app does not notice the end.
UNAWARE: Any = {"logs": "WARNING O12", "app_stays": EXIT}
PUSHES: Any = {"options": {"exit_timeout": EXIT}, "dropped": UNAWARE}
# Longer than EXIT, after which an app that has not noticed is cancelled.
WORKS: Any = {"logs": "INFO O16", "options": {"exit_timeout": EXIT / 5}, "app_stays": EXIT}
LOOPS: Any = {"logs": "WARNING O16", "options": {"close_timeout": 0.1, "exit_timeout": EXIT}, "app_stays": EXIT}
TELLS: Any = {"options": {"close_timeout": 0.2}}

WAITING = "waiting"
HANGS_UP = (Until(WAITING), Vanish(reset=False))
RESETS = (Until(WAITING), Vanish())


# Before the handshake is answered.


def decides(name: str, title: str, client: tuple[Early, ...], *answer: Message) -> None:
    """Add a scenario whose app answers after the client has left."""

    async def decides(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        note(WAITING)
        note((await until_disconnect(receive))["type"])
        for message in answer:
            await attempt(send, message)

    decides.__name__ = name
    told = (WAITING, "websocket.disconnect")
    sees, dropped = ((*told, *([end] * len(answer))) for end in ("ClientDisconnected", "sent"))
    scenario("H12", title, Gone(), *sees, early=client, options=UNTOLD, dropped={"app_sees": dropped})(decides)


decides("accepts_too_late", "accepts when the client has hung up", HANGS_UP, {"type": "websocket.accept"})
decides("accepts_after_reset", "accepts when the client has reset the connection", RESETS, {"type": "websocket.accept"})
decides("denies_too_late", "denies when the client has hung up", HANGS_UP, start(), body(b"late"))


@scenario("H12", "never decides, and the client hangs up", Gone(), WAITING, "cancelled", early=HANGS_UP, **OUTLIVES)
async def never_decides(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    note(WAITING)
    await stay()


@scenario("O16", "keeps working after it denied", Denied(403), "saved", **WORKS)
async def stays_after_denial(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close"})
    await work()


# On the open connection.


def leaves(name: str, title: str, client_gets: Outcome, *steps: Step) -> None:
    """Add two scenarios whose client leaves: the app waits for something else, and it only sends."""

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await stay()

    async def pushes(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await push(send)

    waits.__name__ = f"waits_{name}"
    scenario("O12", f"waits for something else, and {title}", client_gets, "cancelled", steps=steps, **OUTLIVES)(waits)
    pushes.__name__ = f"pushes_{name}"
    scenario("O7", f"only sends, and {title}", client_gets, logs="DEBUG E2", steps=steps, **PUSHES)(pushes)


leaves("until_left", "the client leaves", Closed(1000, messages=None), Leave())
leaves("until_hung_up", "the client hangs up", Gone(), Vanish(reset=False))
leaves("until_reset", "the client vanishes", Gone(), Vanish())


@scenario(
    "O16",
    "ignores that it cannot send",
    Closed(1000, messages=None),
    "cancelled",
    steps=(Leave(),),
    **{**OUTLIVES, "logs": "WARNING O16"},
    dropped={"logs": "WARNING O12"},
)
async def ignores_everything(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stay)
        while True:
            with contextlib.suppress(Exception):
                await push(send)
            await anyio.sleep(0.01)


@scenario("O16", "keeps working after its own close", Closed(4001), "saved", **WORKS)
async def stays_after_close(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4001})
    await work()


@scenario("O16", "keeps working when it knows that the client left", Closed(1000), "saved", steps=(Leave(),), **WORKS)
async def cleans_up(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await work()


@scenario(
    "O8",
    "closes while it receives, and the client does not answer the close",
    Closed(4001),
    "websocket.disconnect",
    steps=(Until(),),
    **TELLS,
)
async def closes_while_receiving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    async with anyio.create_task_group() as tasks:

        async def listen() -> None:
            note((await until_disconnect(receive))["type"])
            tasks.cancel_scope.cancel()

        tasks.start_soon(listen)
        await anyio.sleep(0.01)
        await send({"type": "websocket.close", "code": 4001})


@scenario("O8", "closes, and loops on the disconnect", Closed(4001), "cancelled", **LOOPS)
async def loops_after_close(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4001})
    await loop(receive)


@scenario("O8", "loops on the disconnect", Closed(1000), "cancelled", steps=(Leave(),), **LOOPS)
async def loops_after_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await loop(receive)


MANY = 1000


async def loop(receive: Receive) -> None:
    """Receive again and again, and note how it ends."""
    turns = received = 0

    async def take_turns() -> None:
        nonlocal turns
        while turns < MANY:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(take_turns)
        try:
            while received < MANY:
                await receive()
                received += 1
        except anyio.get_cancelled_exc_class():
            note("cancelled")
            raise
        finally:
            if received > 1 or not turns:
                note(f"{received} messages, and {turns} turns of another task")
            tasks.cancel_scope.cancel()


async def work() -> None:
    """Take longer than the guard waits for an app that has not noticed the end."""
    await anyio.sleep(EXIT)
    note("saved")


# A prefetched message is not lost.

MESSAGES = tuple(str(number) for number in range(20))


@scenario(
    "O12",
    "stops receiving again and again",
    Closed(1000, messages=MESSAGES),
    steps=(*(Say(message) for message in MESSAGES), *(Hear() for _ in MESSAGES), Leave()),
)
async def receives_in_bits(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await anyio.sleep(0.7)  # so long that the guard prefetches a message
    message = {"type": ""}
    while message["type"] != "websocket.disconnect":
        for limit in (0, 0.001, 0.01):
            with anyio.move_on_after(limit):
                message = await receive()
                break
        else:
            continue
        if message["type"] == "websocket.receive":
            with anyio.CancelScope(shield=True):
                await send({"type": "websocket.send", "text": message["text"]})
