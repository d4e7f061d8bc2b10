"""Clauses O13, O14, O15, E4 and E9: the limits that the guard's options set."""

# ruff: noqa: D103 - a scenario says what its app does

from __future__ import annotations

from functools import partial

import anyio

from asgi_wsguard.probe.model import Closed, Denied, OneOf, Receive, Scope, Send, Until
from asgi_wsguard.probe.scenarios.parts import accept, in_background, push, scenario, until_disconnect
from asgi_wsguard.probe.visit import note

LIMIT = 0.2


@scenario(
    "O13",
    "has an idle client",
    Closed(1001),
    "websocket.disconnect 1001",
    logs="DEBUG O13",
    options={"idle_timeout": LIMIT},
    client_waits=LIMIT,
)
async def idles(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    message = await receive()
    note(f"{message['type']} {message['code']}")


@scenario(
    "O14",
    "has a client that stays forever",
    Closed(1001, messages=None),
    logs="DEBUG O14",
    options={"max_lifetime": LIMIT, "exit_timeout": 0.1},
    dropped={"logs": "WARNING O12"},
    client_waits=LIMIT,
)
async def lives_on(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await push(send)


CHUNK, CHUNKS = bytes(65536), 256


async def flood(send: Send, sent: list[int]) -> None:
    """Send more than fits into the buffers between the app and a client that does not read."""
    try:
        for number in range(CHUNKS):
            await send({"type": "websocket.send", "bytes": CHUNK})
            sent.append(number)
    except OSError as error:
        note(type(error).__name__)


@scenario(
    "O15",
    "sends to a client that reads nothing",
    Closed(1008, messages=None),
    "ClientDisconnected",
    logs="WARNING O15",
    steps=(Until("ClientDisconnected"),),
    options={"send_timeout": LIMIT},
    client_waits=LIMIT,
)
async def sends_in_vain(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    await flood(send, [])


@scenario(
    "E4",
    "returns, and the client reads nothing",
    OneOf((Closed(1000, messages=None), Closed(1006, messages=None))),
    app_sees=None,
    logs="WARNING E4",
    steps=(Until(),),
    options={"close_timeout": LIMIT},
    client_waits=LIMIT,
)
async def returns_in_vain(scope: Scope, receive: Receive, send: Send) -> None:
    await accept(receive, send)
    sent: list[int] = []
    in_background(partial(flood, send, sent))
    before = -1
    while len(sent) > before:  # until it is stuck
        before = len(sent)
        await anyio.sleep(LIMIT)


@scenario(
    "E9",
    "has as many clients as max_connections",
    Denied(503, b"Service Unavailable", (("retry-after", "5"),)),
    logs="WARNING E9",
    company=True,
    options={"max_connections": 1},
)
async def has_company(scope: Scope, receive: Receive, send: Send) -> None:
    note("called")
    await accept(receive, send)
    await until_disconnect(receive)
