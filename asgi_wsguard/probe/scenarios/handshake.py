"""Clauses H: before the handshake is answered."""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

from asgi_wsguard.probe.model import (
    Closed,
    Cut,
    Denied,
    Message,
    Receive,
    Scope,
    Send,
)
from asgi_wsguard.probe.scenarios.parts import (
    INTERNAL_ERROR,
    KEPT,
    SECRET,
    UNAVAILABLE,
    ProbeError,
    accept,
    attempt,
    be_cancelled,
    body,
    in_background,
    scenario,
    start,
)
from asgi_wsguard.probe.visit import VISIT, note


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
    """Add two scenarios: the app lets the error escape, or it catches the error and then answers."""

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
    kept = f"{title}, and keeps running"
    scenario(clause, kept, Closed(4001), "ProtocolViolation", logs=f"WARNING {clause}")(catches)


out_of_order("data_first", "sends data before it accepts", {"type": "websocket.send", "text": "early"})
out_of_order("body_first", "sends a body before its start", body(b"early"))
out_of_order("unknown_type", "sends a message of an unknown type", {"type": "websocket.reject"})
out_of_order("no_dict", "sends a message that is not a dict", "websocket.accept")
for _name, _title, _header in (
    ("text_header", "accepts with a header of text", ("x-probe", "text")),
    ("broken_header", "accepts with a line break in a header", (b"x-probe", b"one\r\nx-two: two")),
    ("nul_header", "accepts with a NUL in a header", (b"x-probe", b"\0")),
    ("empty_header", "accepts with a header that has no name", (b"", b"empty")),
    ("pseudo_header", "accepts with a pseudo-header", (b":status", b"500")),
    ("protocol_header", "accepts with the subprotocol as a header", (b"sec-websocket-protocol", b"chat")),
):
    out_of_order(_name, _title, {"type": "websocket.accept", "headers": [_header]})


@scenario(
    "H13",
    "leaves a task that accepts later",
    INTERNAL_ERROR,
    "ClientDisconnected",
    logs="ERROR H1",
    dropped={"app_sees": ("sent",)},
)
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
