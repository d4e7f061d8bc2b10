"""Clauses O: the open connection."""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

from typing import Any

from asgi_wsguard.probe.model import (
    Closed,
    Gone,
    Leave,
    Receive,
    Say,
    Scope,
    Send,
    Vanish,
)
from asgi_wsguard.probe.scenarios.parts import (
    SECRET,
    ProbeError,
    accept,
    attempt,
    be_cancelled,
    scenario,
    start,
    until_disconnect,
)


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
    """Add a scenario whose app accepts, and sends this close."""

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


SENT: Any = {"dropped": {"app_sees": ("sent",)}}


@scenario("O6", "sends after its own close", Closed(4001), "ClientDisconnected", logs="WARNING O6", **SENT)
async def sends_after_close(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.close", "code": 4001})
    await attempt(send, {"type": "websocket.send", "text": "late"})


@scenario(
    "O7", "sends after the client left", Closed(1000), "ClientDisconnected", steps=(Say("hello"), Leave()), **SENT
)
async def sends_after_leaving(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await attempt(send, {"type": "websocket.send", "text": "late"})


@scenario("O7", "sends after the client vanished", Gone(), "ClientDisconnected", steps=(Vanish(),), **SENT)
async def sends_after_vanishing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await until_disconnect(receive)
    await attempt(send, {"type": "websocket.send", "text": "late"})


def send_wrongly(name: str, title: str, payload: dict[str, Any]) -> None:
    """Add a scenario whose app accepts, and sends this message."""

    async def sends(scope: Scope, receive: Receive, send: Send) -> None:
        await accept(receive, send)
        await attempt(send, {"type": "websocket.send", **payload})
        await send({"type": "websocket.close", "code": 4001})

    sends.__name__ = name
    scenario("O9", title, Closed(4001), "ProtocolViolation", logs="WARNING O9")(sends)


send_wrongly("sends_both", "sends text and bytes in one message", {"text": "one", "bytes": b"two"})
send_wrongly("sends_neither", "sends neither text nor bytes", {})
send_wrongly("sends_number", "sends a number as text", {"text": 1})


@scenario("O9", "sends nothing, and lets the error escape", Closed(1011), raises="ProtocolViolation", logs="ERROR O2")
async def sends_nothing(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "text": None, "bytes": None})


@scenario("O9", "sends a bytearray and a memoryview", Closed(4001, messages=(b"one", b"two")))
async def sends_bytearray(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await send({"type": "websocket.send", "bytes": bytearray(b"one")})
    await send({"type": "websocket.send", "bytes": memoryview(b"two")})
    await send({"type": "websocket.close", "code": 4001})


@scenario("O10", "accepts twice", Closed(4001), "ProtocolViolation", logs="WARNING O10")
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
