"""Nothing of the guard outlives a connection (E7): 2,000 of each kind, and all is as it was before."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import weakref
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anyio
import anyio.lowlevel
import pytest
from test_clauses_memory import ACCEPT, BODY, CLOSE, LAST_BODY, START, TEXT, AppError, Receive, Send, on_asyncio
from test_time_memory import TIMEOUTS, Blocked, Event, Timed, disconnected, leaves, sends, stops, stops_reading
from virtual_clock import FOR_EVER, in_virtual_time

from asgi_wsguard import ClientDisconnected, ConnectionReport, Drainer, WebSocketGuardMiddleware

CONNECTIONS = 2_000
AT_ONCE = 200

App = Callable[[Any, Receive, Send], Awaitable[None]]


class Kind(NamedTuple):
    """What a connection is like, and what the clients are told: the status, or the close code."""

    app: App
    told: set[int | None]
    events: tuple[Event, ...]
    options: dict[str, Any]
    server: Callable[[], Timed]


KINDS: dict[str, Kind] = {}


def kind(
    told: set[int | None], *events: Event, server: Callable[[], Timed] = Timed, **options: Any
) -> Callable[[App], App]:
    """Add a kind, and what happens to each connection so many seconds after it began."""

    def add(app: App) -> App:
        KINDS[app.__name__] = Kind(app, told, events, options, server)
        return app

    return add


@pytest.fixture(autouse=True)
def _nobody_keeps_the_log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
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
    await anyio.sleep_forever()


@kind({503})
async def shields_itself(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    with anyio.CancelScope(shield=True):
        await anyio.sleep(30)


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
    """It tells the app nothing after its own close, as hypercorn does."""

    def __init__(self) -> None:
        super().__init__(repeat_disconnect=False)


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
    """It drops what is sent to a client that has left, as hypercorn does."""

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
    """Its `receive` is no function of Python's, so the guard always receives ahead."""

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


async def census() -> Counter[type]:
    """Count all objects by their type, once the event loop has forgotten the timers that were cancelled."""
    await anyio.sleep(100)
    gc.collect()
    return Counter(map(type, gc.get_objects()))


async def assert_nothing_stays(connect: Callable[[], Awaitable[None]]) -> None:
    """See to it that so many connections, some at once, leave as much behind as the first ones: nothing."""
    await connect()  # what is kept for good is there now, such as the source lines that a log line quotes
    before, blocks = await census(), sys.getallocatedblocks()
    for _ in range(CONNECTIONS // AT_ONCE):
        await connect()
    growth = await census() - before
    few = CONNECTIONS / 4
    assert {kind: more for kind, more in growth.items() if more >= few or is_ours(kind)} == {}
    assert sys.getallocatedblocks() - blocks < few


def is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "asgi_wsguard"


@pytest.mark.parametrize("name", KINDS)
@in_virtual_time
async def test_2000_connections(name: str) -> None:
    """Also, no task and no timer is left: `virtual_clock.run` sees to that."""
    kind = KINDS[name]
    guarded = WebSocketGuardMiddleware(kind.app, **kind.options)

    async def connect() -> None:
        servers = [kind.server() for _ in range(AT_ONCE)]
        await serve(kind, guarded, servers)
        assert {told(server) for server in servers} == kind.told
        assert all(isinstance(server.error, (AppError, type(None))) for server in servers)

    await assert_nothing_stays(connect)


@in_virtual_time
async def test_2000_connections_that_are_drained() -> None:
    drainer = Drainer(grace=1, spread=2)
    guarded = WebSocketGuardMiddleware(echoes, drainer=drainer)

    async def connect() -> None:
        servers = [Timed() for _ in range(AT_ONCE)]
        servers[0].scope["path"] = "/leaves"  # trio starts them in any order
        async with anyio.create_task_group() as group:
            for server in servers:
                group.start_soon(server.serve, guarded)
            await anyio.sleep(1)
            servers[0].client_leaves()
            await next(one for one in drainer.connections if one.path != "/leaves").close()
            drained = await drainer.drain()
            assert (drained.closed, drained.cancelled) == (AT_ONCE - 2, 0)
            drainer.resume()

    await assert_nothing_stays(connect)


@on_asyncio
@in_virtual_time
async def test_2000_connections_that_are_thrown_away() -> None:
    """As asyncio does, and trio does not, with a task that nobody refers to."""
    guarded = WebSocketGuardMiddleware(echoes)

    async def throw_away(server: Timed) -> None:
        connection = guarded(server.scope, server.receive, server.send)
        connection.send(None)
        connection.close()

    async def connect() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(throw_away, Timed())

    await assert_nothing_stays(connect)


@pytest.mark.parametrize("server", [Timed, Ahead])
@in_virtual_time
async def test_2000_messages_on_one_connection(server: Callable[[], Timed]) -> None:
    guarded = WebSocketGuardMiddleware(echoes, **{**dict.fromkeys(TIMEOUTS, 400), "max_lifetime": FOR_EVER})
    open_one = server()

    async def echo() -> None:
        for _ in range(AT_ONCE):
            open_one.client_sends("hi")
            await anyio.sleep(0.1)
        for kept in (open_one.sent, open_one.times, open_one.handed, open_one.client.messages):
            assert len(kept) >= AT_ONCE
            kept.clear()

    async with anyio.create_task_group() as group:
        group.start_soon(open_one.serve, guarded)
        await assert_nothing_stays(echo)
        open_one.client_leaves()


@in_virtual_time
async def test_timers_that_never_come_do_not_pile_up() -> None:
    """While one connection is open, so that there is always something to wait for."""

    def timers() -> int:
        return sum(type(one).__name__ in ("TimerHandle", "_Timer") for one in gc.get_objects())

    kind = KINDS["echoes"]
    guarded = WebSocketGuardMiddleware(kind.app, max_lifetime=24 * 60 * 60)
    stays = Timed()
    async with anyio.create_task_group() as group:
        group.start_soon(stays.serve, guarded)
        before = timers()
        for _ in range(CONNECTIONS // AT_ONCE):
            await serve(kind, guarded, [kind.server() for _ in range(AT_ONCE)])
        assert timers() - before < CONNECTIONS / 2
        stays.client_leaves()


class Anything:
    """Something that can be referred to weakly."""


# `Timed` keeps its task, and what the app has raised; and an exception refers to the frames that it came through.
RAISING = ["raises", "accepts_and_raises", "is_cancelled", "is_cancelled_when_open"]


@pytest.mark.parametrize("name", [name for name in KINDS if name not in RAISING])
@in_virtual_time
async def test_a_connection_does_not_wait_for_the_garbage_collector(name: str) -> None:
    kind = KINDS[name]
    guarded = WebSocketGuardMiddleware(kind.app, **kind.options)
    seen: list[weakref.ref[Anything]] = []

    async def connect() -> None:
        server = kind.server()
        server.scope["state"]["anything"] = anything = Anything()
        seen.append(weakref.ref(anything))
        await serve(kind, guarded, [server])

    gc.disable()
    try:
        await connect()
        assert seen[0]() is None
    finally:
        gc.enable()


@in_virtual_time
async def test_a_drain_does_not_keep_what_has_ended() -> None:
    drainer = Drainer(grace=1, spread=10)
    guarded = WebSocketGuardMiddleware(echoes, drainer=drainer)
    seen: list[weakref.ref[Anything]] = []

    async def connect(leaves_at: float) -> None:
        server = Timed()
        server.scope["state"]["anything"] = anything = Anything()
        seen.append(weakref.ref(anything))
        del anything
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, guarded)
            await anyio.sleep_until(leaves_at)
            server.client_leaves()

    gc.disable()
    try:
        async with anyio.create_task_group() as group:
            for leaves_at in (0.5, 3, 100):
                group.start_soon(connect, leaves_at)
            group.start_soon(drainer.drain)
            await anyio.sleep(3.5)
            assert sum(reference() is not None for reference in seen) == 1
    finally:
        gc.enable()


@in_virtual_time
async def test_a_task_that_stays_does_not_keep_the_scope() -> None:
    """Such as one of a pool of connections to a database, which the first websocket has started."""
    seen: list[weakref.ref[Anything]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        group.start_soon(anyio.sleep_forever)
        await receive()
        await send(ACCEPT)

    async def connect() -> None:
        server = Timed()
        server.scope["state"]["anything"] = anything = Anything()
        seen.append(weakref.ref(anything))
        await server.serve(WebSocketGuardMiddleware(app))

    async with anyio.create_task_group() as group:
        await connect()
        gc.collect()
        assert seen[0]() is None
        group.cancel_scope.cancel()
