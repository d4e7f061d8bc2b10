"""All kinds of connections: how the app ends, and what happens meanwhile. `KINDS` has them all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, ConnectionReport, ProtocolViolation
from harness.apps import AppError, disconnected
from harness.messages import ACCEPT, BODY, CLOSE, LAST_BODY, START, TEXT, Receive, Send
from harness.timed import Blocked, Event, Timed, leaves, sends, stops, stops_reading

# Of the app, of the guard, and of a server that refuses.
ERRORS = (AppError, ProtocolViolation, ValueError)

App = Callable[[Any, Receive, Send], Awaitable[None]]


class Kind(NamedTuple):
    """One kind of connection, and what the client gets: the status, or the close code."""

    app: App
    told: set[int | None]
    events: tuple[Event, ...]
    options: dict[str, Any]
    server: Callable[[], Timed]


KINDS: dict[str, Kind] = {}


def kind(
    told: set[int | None], *events: Event, server: Callable[[], Timed] = Timed, **options: Any
) -> Callable[[App], App]:
    """Add a kind, and what happens to each connection how many seconds after its beginning."""

    def add(app: App) -> App:
        KINDS[app.__name__] = Kind(app, told, events, options, server)
        return app

    return add


@pytest.fixture(autouse=True)
def nobody_keeps_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    caplog.set_level(logging.DEBUG, "asgi_wsguard")
    monkeypatch.setattr(logging.getLogger("asgi_wsguard"), "handle", lambda record: record.getMessage())


class Raising(Timed):
    """It raises when the client has left, as uvicorn does, and keeps nothing of what it raised."""

    async def send(self, message: Any) -> None:
        if self.client.left:
            raise OSError("the client has left")
        await super().send(message)


# Before the handshake is answered


@kind({500})
async def returns(scope: Any, receive: Receive, send: Send) -> None:
    await receive()


@kind({500})
async def raises(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    raise AppError


@kind({503}, (1, stops))
async def is_cancelled(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.sleep_forever()


@kind({401})
async def denies(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    for message in (START, BODY, LAST_BODY):
        await send(message)


@kind({401})
async def begins_to_deny(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(START)


@kind({503})
async def never_answers(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.sleep_forever()


async def observes(report: ConnectionReport) -> None:
    await anyio.sleep(1)


@kind({503}, observers=[observes])
async def never_answers_and_is_observed(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.sleep_forever()


@kind({1000}, observers=[observes])
async def outlives_its_close_and_is_observed(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await send(CLOSE)
    await anyio.sleep(100)


@kind({503})
async def shields_itself(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    with anyio.CancelScope(shield=True):
        await anyio.sleep(40)


@kind({503})
async def swallows_its_cancellation_once(scope: Any, receive: Receive, send: Send) -> None:
    with contextlib.suppress(anyio.get_cancelled_exc_class()):
        await anyio.sleep_forever()
    await anyio.sleep_forever()


@kind({None}, server=Blocked)
async def never_answers_where_the_server_takes_nothing(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.sleep_forever()


@kind({None}, (1, leaves), server=Raising)
async def decides_when_the_client_has_left(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await receive()
    with contextlib.suppress(ClientDisconnected):
        await send(ACCEPT)


@kind({None}, (1, leaves), server=Raising)
async def decides_without_knowing(scope: Any, receive: Receive, send: Send) -> None:
    await anyio.sleep(5)
    await send(ACCEPT)


@kind({None}, (1, leaves), server=Raising)
async def never_decides(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.sleep_forever()


@kind({401, 503}, max_connections=1)
async def is_one_too_many(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(START)
    await send(LAST_BODY)
    await anyio.sleep(1)


# While it is open


@kind({1000})
async def accepts_and_returns(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)


@kind({1011}, (1, sends("hi")))
async def accepts_and_raises(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await receive()
    raise AppError


@kind({1012}, (1, stops))
async def is_cancelled_when_open(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await receive()


@kind({None}, (1, sends("hi")), (2, sends(b"hi")), (3, leaves))
async def echoes(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


@kind({1000}, (1, sends("a")), (1, sends("b")), (2, sends("c")))
async def closes(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await receive()
    await send(CLOSE)
    await receive()


class Silent(Timed):
    """It sends the app nothing after its own close, like hypercorn."""

    def __init__(self) -> None:
        super().__init__(repeat_disconnect=False)


class Refusing(Timed):
    """It refuses the close that the guard sends for a cancelled app, like daphne."""

    def __init__(self) -> None:
        super().__init__(refused_codes=[1012])


@kind({None}, (1, stops), server=Refusing)
async def is_cancelled_where_the_server_refuses(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await receive()


@kind({None}, without_extension="raise", server=lambda: Timed(denial_extension=False))
async def returns_where_the_server_answers(scope: Any, receive: Receive, send: Send) -> None:
    await receive()


@kind({1011})
async def sends_what_no_websocket_does(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await send({"type": "websocket.nonsense"})


@kind({1000}, server=Silent)
async def closes_while_it_receives(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    async with anyio.create_task_group() as group:
        group.start_soon(disconnected, receive)
        await anyio.sleep(1)
        await send(CLOSE)


@kind({1000}, (1, sends("a")), (1, sends("b")), (1, sends("c")))
async def does_not_take_what_was_received_ahead(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await anyio.sleep(2)


@kind({1000}, (1, sends("a")), (2, sends("b")), (9, sends("c")))
async def takes_what_was_received_ahead(scope: Any, receive: Receive, send: Send) -> None:
    await send(ACCEPT)
    for _ in range(3):
        await anyio.sleep(3)
        await receive()


@kind({1000}, (5, sends("a")))
async def receives_for_a_moment(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await anyio.sleep(2)
    message = None
    while message is None:
        with anyio.move_on_after(0.3):
            message = await receive()


@kind({None}, (1, leaves))
async def waits_for_something_else(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await anyio.sleep_forever()


@kind({None}, (1, leaves), server=Raising)
async def pushes(scope: Any, receive: Receive, send: Send) -> None:
    await send(ACCEPT)
    while True:
        await send(TEXT)
        await anyio.sleep(0.25)


@kind({None}, (1, leaves), server=Raising)
async def returns_when_the_client_has_left(scope: Any, receive: Receive, send: Send) -> None:
    await send(ACCEPT)
    await anyio.sleep(1.25)


class Dropping(Timed):
    """It drops what is sent to a client that has left, like hypercorn."""

    def __init__(self) -> None:
        super().__init__(repeat_disconnect=False, raise_when_gone=False)


@kind({None}, (1, leaves), server=Dropping)
async def pushes_in_vain(scope: Any, receive: Receive, send: Send) -> None:
    await pushes(scope, receive, send)


class NoFunction:
    """Like granian's `receive`."""

    def __init__(self, call: Receive) -> None:
        self.call = call

    def __call__(self) -> Awaitable[Any]:
        return self.call()


class Ahead(Timed):
    """Its `receive` is not a Python function, so the guard always prefetches."""

    async def run(self, app: Any) -> None:
        await app(self.scope, NoFunction(self.receive), self.send)


@kind({None}, (1, sends("hi")), (3, leaves), server=Ahead)
async def echoes_what_was_received_ahead(scope: Any, receive: Receive, send: Send) -> None:
    await echoes(scope, receive, send)


@kind({1001}, idle_timeout=3)
async def is_idle(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await receive()


@kind({1001}, max_lifetime=3)
async def is_old(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await anyio.sleep_forever()


@kind({1008}, (1, stops_reading), send_timeout=2)
async def is_stuck(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await anyio.sleep(2)
    await send(TEXT)


@kind({1000}, server=Blocked)
async def returns_where_the_server_takes_nothing(scope: Any, receive: Receive, send: Send) -> None:
    await send(ACCEPT)


async def serve(kind: Kind, guarded: Any, servers: list[Timed]) -> None:
    """Serve all of them at once, until they have ended."""

    async def run(server: Timed) -> None:
        with contextlib.suppress(RuntimeError):  # on trio
            server.task = asyncio.current_task()  # what servers on asyncio cancel
        with contextlib.suppress(asyncio.CancelledError):  # anyio's task group keeps one in a circle
            await server.serve(guarded)

    start = anyio.current_time()
    async with anyio.create_task_group() as group:
        for server in servers:
            group.start_soon(run, server)
        for when, act in kind.events:
            await anyio.sleep_until(start + when)
            for server in servers:
                act(server)


def told(server: Timed) -> int | None:
    if server.client.denial is not None:
        return server.client.denial.status
    return server.client.close_code
