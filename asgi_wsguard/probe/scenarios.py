"""The misbehaving apps: what each does, what its client must get, and what else must hold.

Each clause of the contract is met at least once. The expectation is the same for every server.
"""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from asgi_wsguard.probe.model import (
    App,
    Closed,
    Cut,
    Denied,
    Gone,
    Leave,
    Message,
    Outcome,
    Receive,
    Say,
    Scenario,
    Scope,
    Send,
    Vanish,
)
from asgi_wsguard.probe.visit import VISIT, note


class ProbeError(Exception):
    """What a scenario's app raises."""


SECRET = "the text of an app's exception"
"""It goes into the log, and never to a client."""

SCENARIOS: list[Scenario] = []


def scenario(clause: str, title: str, client_gets: Outcome, *app_sees: str, **more: Any) -> Callable[[App], App]:
    """Add the app to the scenarios, under its own name."""

    def add(app: App) -> App:
        name = app.__name__.replace("_", "-")
        SCENARIOS.append(Scenario(name, clause, title, app, client_gets, app_sees, **more))
        return app

    return add


# The guard's own denial.
INTERNAL_ERROR = Denied(500, b"Internal Server Error", (("content-type", "text/plain; charset=utf-8"),))
UNAVAILABLE = Denied(503, b"Service Unavailable")
TOKEN = (b"x-probe", b"kept")
KEPT = (("x-probe", "kept"),)


async def accept(receive: Receive, send: Send, **more: Any) -> None:
    """Take the connect, and accept."""
    await receive()
    await send({"type": "websocket.accept", **more})


async def until_disconnect(receive: Receive) -> Message:
    """Receive until the client is gone."""
    message = await receive()
    while message["type"] != "websocket.disconnect":
        message = await receive()
    return message


async def attempt(send: Send, message: Message) -> None:
    """Send, and note how the guard takes it."""
    try:
        await send(message)
    except Exception as error:
        note(type(error).__name__)
    else:
        note("sent")


async def be_cancelled() -> None:
    """Be cancelled, as by a server that stops."""
    VISIT.get().server.cancel()
    await anyio.sleep_forever()


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


# H. Before the handshake is answered.


@scenario("H1", "returns at once", INTERNAL_ERROR, logs="ERROR H1")
async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    pass


@scenario("H1", "receives the connect, and returns", INTERNAL_ERROR, "websocket.connect", logs="ERROR H1")
async def receives_and_returns(scope: Scope, receive: Receive, send: Send) -> None:
    note((await receive())["type"])


@scenario("H2", "raises before it answers", INTERNAL_ERROR, raises="ProbeError", logs="ERROR H2")
async def raises(scope: Scope, receive: Receive, send: Send) -> None:
    raise ProbeError(SECRET)


@scenario("H3", "is cancelled before it answers", UNAVAILABLE, logs="DEBUG H3")
async def cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await be_cancelled()


@scenario("H5", "closes before it accepts", Denied(403), "websocket.disconnect")
async def closes_first(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.close", "code": 4000, "reason": "no"})
    note((await receive())["type"])


def start(status: int = 401, *headers: tuple[bytes, bytes]) -> Message:
    """Return the start of a denial response."""
    return {"type": "websocket.http.response.start", "status": status, "headers": [TOKEN, *headers]}


def body(data: bytes, more: bool = False) -> Message:
    """Return a body message of a denial response."""
    return {"type": "websocket.http.response.body", "body": data, "more_body": more}


@scenario("H6", "sends a denial response", Denied(401, b"log in first", KEPT))
async def denies(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start(401, (b"content-type", b"text/plain")))
    await send(body(b"log in ", more=True))
    await send(body(b"first"))


@scenario("H6", "sends a denial response with its length", Denied(429, b"too many", KEPT))
async def denies_with_length(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start(429, (b"content-length", b"8"), (b"retry-after", b"5")))
    await send(body(b"too many"))


@scenario("H7", "starts a denial response, and returns", Denied(401, b"", KEPT), logs="ERROR H7")
async def starts_and_returns(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start(401, (b"content-length", b"12")))


@scenario("H7", "starts a denial response, and raises", Denied(401, b"", KEPT), raises="ProbeError", logs="ERROR H7")
async def starts_and_raises(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start(401))
    raise ProbeError(SECRET)


@scenario("H8", "returns inside the body of a denial", Denied(401, b"half", KEPT), logs="ERROR H8")
async def returns_inside_body(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start())
    await send(body(b"half", more=True))


@scenario("H8", "raises inside the body of a denial", Cut(401), raises="ProbeError", logs="ERROR H8")
async def raises_inside_body(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send(start())
    await send(body(b"half", more=True))
    raise ProbeError(SECRET)


def out_of_order(name: str, title: str, message: Message) -> None:
    """Add two scenarios: the app lets the error out, and it catches the error and answers after all."""

    async def lets_out(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(message)

    async def catches(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await attempt(send, message)
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4001})

    lets_out.__name__ = name
    catches.__name__ = f"catches_{name}"
    clause = "H11" if isinstance(message, dict) and message["type"] == "websocket.accept" else "H10"
    scenario(clause, title, INTERNAL_ERROR, raises="ProtocolViolation", logs="ERROR H2")(lets_out)
    scenario(clause, f"{title}, and goes on", Closed(4001), "ProtocolViolation")(catches)


out_of_order("data_first", "sends data before it accepts", {"type": "websocket.send", "text": "early"})
out_of_order("body_first", "sends a body before its start", body(b"early"))
out_of_order("unknown_type", "sends a message of an unknown type", {"type": "websocket.reject"})
out_of_order("no_dict", "sends a message that is no dict", "websocket.accept")
for _name, _title, _header in (
    ("text_header", "accepts with a header of text", ("x-probe", "text")),
    ("broken_header", "accepts with a line break in a header", (b"x-probe", b"one\r\nx-two: two")),
    ("nul_header", "accepts with a NUL in a header", (b"x-probe", b"\0")),
    ("empty_header", "accepts with a header that has no name", (b"", b"empty")),
    ("pseudo_header", "accepts with a pseudo-header", (b":status", b"500")),
    ("protocol_header", "accepts with the subprotocol as a header", (b"sec-websocket-protocol", b"chat")),
):
    out_of_order(_name, _title, {"type": "websocket.accept", "headers": [_header]})


@scenario("H13", "leaves a task that accepts later", INTERNAL_ERROR, "ClientDisconnected", logs="ERROR H1")
async def answers_late(scope: Scope, receive: Receive, send: Send) -> None:
    over = VISIT.get().over

    async def late() -> None:
        await over.wait()
        await attempt(send, {"type": "websocket.accept"})

    in_background(late)


@scenario(
    "H14", "accepts a subprotocol that was not offered", Closed(4001), logs="WARNING H14", offers=("chat", "superchat")
)
async def unoffered_subprotocol(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send, subprotocol="other")
    await send({"type": "websocket.close", "code": 4001})


# O. While the connection is open.


@scenario("O1", "accepts, and returns", Closed(1000), logs="DEBUG O1")
async def accepts_and_returns(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)


@scenario(
    "O1", "accepts, talks, and returns", Closed(1000, messages=("hello",)), logs="DEBUG O1", steps=(Say("hello"),)
)
async def talks_and_returns(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "text": (await receive())["text"]})


@scenario("O2", "raises after it accepted", Closed(1011), raises="ProbeError", logs="ERROR O2")
async def accepts_and_raises(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    raise ProbeError(SECRET)


@scenario("O3", "is cancelled after it accepted", Closed(1012), logs="DEBUG O3")
async def accepts_and_is_cancelled(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await be_cancelled()


def close_with(name: str, title: str, client_gets: Closed, **close: Any) -> None:
    """Add a scenario whose app accepts and closes like this."""

    async def closes(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await send({"type": "websocket.close", **close})

    closes.__name__ = name
    refused = close.get("code") == 99999
    repaired = close.get("code") in (1004, 1005, 1006, 1015) or len(close.get("reason", "")) > 61
    logs = "ERROR O2" if refused else "WARNING O4" if repaired else ""
    scenario("O4", title, client_gets, logs=logs, raises="ProtocolViolation" if refused else "")(closes)


close_with("closes", "closes with a code and a reason", Closed(4001, "done"), code=4001, reason="done")
close_with("closes_without_code", "closes without a code", Closed(1000))
close_with("closes_at_length", "closes with too long a reason", Closed(4001, "é" * 61), code=4001, reason="é" * 100)
close_with("closes_1005", "closes with 1005", Closed(1000), code=1005)
close_with("closes_1006", "closes with 1006", Closed(1011), code=1006)
close_with("closes_1015", "closes with 1015", Closed(1011), code=1015)
close_with("closes_99999", "closes with 99999", Closed(1011), code=99999)


@scenario("O5", "closes twice", Closed(4001))
async def closes_twice(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4001})
    await send({"type": "websocket.close", "code": 4002})


@scenario("O5", "closes after the client left", Closed(1000), "sent", steps=(Leave(),))
async def closes_after_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await attempt(send, {"type": "websocket.close"})


@scenario("O5", "closes after the client vanished", Gone(), "sent", steps=(Vanish(),))
async def closes_after_vanishing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await attempt(send, {"type": "websocket.close"})


@scenario("O6", "sends after its own close", Closed(4001), "ClientDisconnected")
async def sends_after_close(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4001})
    await attempt(send, {"type": "websocket.send", "text": "late"})


@scenario("O7", "sends after the client left", Closed(1000), "ClientDisconnected", steps=(Say("hello"), Leave()))
async def sends_after_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await attempt(send, {"type": "websocket.send", "text": "late"})


@scenario("O7", "sends after the client vanished", Gone(), "ClientDisconnected", steps=(Vanish(),))
async def sends_after_vanishing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await attempt(send, {"type": "websocket.send", "text": "late"})


def send_wrongly(name: str, title: str, payload: dict[str, Any]) -> None:
    """Add a scenario whose app accepts, and sends that."""

    async def sends(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await attempt(send, {"type": "websocket.send", **payload})
        await send({"type": "websocket.close", "code": 4001})

    sends.__name__ = name
    scenario("O9", title, Closed(4001), "ProtocolViolation")(sends)


send_wrongly("sends_both", "sends text and bytes in one message", {"text": "one", "bytes": b"two"})
send_wrongly("sends_neither", "sends neither text nor bytes", {})
send_wrongly("sends_number", "sends a number as text", {"text": 1})


@scenario("O9", "sends nothing, and lets the error out", Closed(1011), raises="ProtocolViolation", logs="ERROR O2")
async def sends_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "text": None, "bytes": None})


@scenario("O9", "sends a bytearray and a memoryview", Closed(4001, messages=(b"one", b"two")))
async def sends_bytearray(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "bytes": bytearray(b"one")})
    await send({"type": "websocket.send", "bytes": memoryview(b"two")})
    await send({"type": "websocket.close", "code": 4001})


@scenario("O10", "accepts twice", Closed(4001), "ProtocolViolation")
async def accepts_twice(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await attempt(send, {"type": "websocket.accept"})
    await send({"type": "websocket.close", "code": 4001})


@scenario("O10", "denies after it accepted", Closed(1011), raises="ProtocolViolation", logs="ERROR O2")
async def denies_after_accept(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send(start())


@scenario(
    "O11",
    "talks, and raises; a server that refuses 1011 sends it when it crashes",
    Closed(1011, messages=("hello",)),
    raises="ProbeError",
    logs="ERROR O2",
    steps=(Say("hello"),),
)
async def talks_and_raises(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "text": (await receive())["text"]})
    raise ProbeError(SECRET)


# E. At the end.


@scenario("E2", "ends by the send that failed", Closed(1000), logs="DEBUG E2", steps=(Leave(),))
async def ends_by_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await send({"type": "websocket.send", "text": "late"})


@scenario("E2", "ends by the send that failed, the client vanished", Gone(), logs="DEBUG E2", steps=(Vanish(),))
async def ends_by_vanishing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await send({"type": "websocket.send", "text": "late"})


@scenario("E3", "raises after the client left", Closed(1000), raises="ProbeError", logs="ERROR O2", steps=(Leave(),))
async def raises_after_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    raise ProbeError(SECRET)


@scenario("E6", "talks from many tasks, which close all at once", Closed(4001, messages=("hello",) * 10))
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
