"""The clauses that speak of time, in memory and in virtual time, so that they hold to the moment; named by clause.

That nothing is left behind (E7) is seen to at the end of every test: `virtual_clock.run` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import math
import weakref
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from test_clauses_memory import (
    ACCEPT,
    BODY,
    CLOSE,
    FORBIDDEN,
    LAST_BODY,
    START,
    STOPPING,
    TEXT,
    AppError,
    Log,
    Receive,
    Send,
    on_asyncio,
    on_each_server,
)
from virtual_clock import Thread, in_virtual_time, steps

from asgi_wsguard import ClientDisconnected, WebSocketGuardMiddleware
from asgi_wsguard.testing import Client, Denial, StrictServer

DISCONNECT = "websocket.disconnect"
TIMEOUTS = ["handshake_timeout", "exit_timeout", "close_timeout", "idle_timeout", "max_lifetime", "send_timeout"]

# How a server cancels an app.
by_scope_and_by_task = pytest.mark.parametrize(
    ("anyio_backend", "own_task"), [("asyncio", False), ("trio", False), ("asyncio", True)]
)

Event = tuple[float, Callable[["Timed"], object]]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG, "asgi_wsguard"):
        yield Log(caplog)


class Timed(StrictServer):
    """Notes when it was sent what, and what it has handed out. It may stop, and cancel the app."""

    def __init__(self, path: str = "/ws", **more: Any) -> None:
        super().__init__(path, **more)
        self.times: list[tuple[float, str]] = []
        self.handed: list[Any] = []
        self.ended_at = math.nan
        self.error: Exception | None = None
        self.task: asyncio.Task[None] | None = None
        self.scope_of_app = anyio.CancelScope()

    async def receive(self) -> dict[str, Any]:
        message = await super().receive()
        self.handed.append(message)
        return message

    async def send(self, message: Any) -> None:
        self.times.append((anyio.current_time(), message["type"].rpartition(".")[2]))
        await super().send(message)

    def stops(self) -> None:
        """Cancel the app: by Task.cancel() where it has a task of its own."""
        if self.task is None:
            self.scope_of_app.cancel()
        else:
            self.task.cancel()

    async def serve(self, app: Any) -> None:
        try:
            with self.scope_of_app:
                await self.run(app)
                await anyio.lowlevel.checkpoint()  # where a cancellation is heard of that came late
        except Exception as exc:
            self.error = exc
        finally:
            self.ended_at = anyio.current_time()

    @property
    def cancelled(self) -> bool:
        """Whether the cancellation went on to the server."""
        return self.scope_of_app.cancelled_caught if self.task is None else self.task.cancelled()


class Blocked(Timed):
    """Takes nothing but an accept and data: it waits for ever."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] not in ("websocket.accept", "websocket.send"):
            await anyio.sleep_forever()


async def serve(app: Any, *events: Event, server: Timed | None = None, own_task: bool = False, **options: Any) -> Timed:
    """Serve the guarded app while the events happen at their times; return the server."""
    server = server or Timed()
    guarded = WebSocketGuardMiddleware(app, **options)

    async def happen() -> None:
        for when, act in events:
            await anyio.sleep_until(when)
            act(server)

    async with anyio.create_task_group() as group:
        group.start_soon(happen)
        if own_task:
            server.task = asyncio.get_running_loop().create_task(server.serve(guarded))
            await asyncio.wait([server.task])
        else:
            await server.serve(guarded)
        group.cancel_scope.cancel()
    assert server.violations == []
    return server


def sends(data: str | bytes) -> Callable[[StrictServer], None]:
    return lambda server: server.client_sends(data)


leaves, stops = Timed.client_leaves, Timed.stops
stops_reading, reads = Timed.client_stops_reading, Timed.client_reads


# What is sent when the client has left before it had an answer: some servers wait for it.
LETS_GO = {"type": "websocket.close", "code": 1000, "reason": ""}


@contextlib.contextmanager
def noting(moments: list[float]) -> Iterator[None]:
    """Note when a cancellation comes through."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        moments.append(anyio.current_time())
        raise


def app_that(*messages: Any, then: Callable[..., Awaitable[Any]]) -> Any:
    """Return an app that sends the messages, and then goes on with `then()`."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        await then()

    return app


async def disconnected(receive: Receive) -> Any:
    """Receive until the disconnect."""
    while (message := await receive())["type"] != DISCONNECT:
        pass
    return message


# H4


@on_each_server
@in_virtual_time
async def test_h4_answered_at_the_deadline_and_cancelled_after(log: Log, denial_extension: bool) -> None:
    server = Timed(denial_extension=denial_extension)
    answer = Client(denial=STOPPING if denial_extension else FORBIDDEN)
    moments: list[float] = []

    async def wait() -> None:
        try:
            with noting(moments):
                await anyio.sleep_forever()
        finally:
            assert server.client == answer

    await serve(app_that(then=wait), server=server)
    assert server.client == answer
    assert server.times == [(20, "start"), (20, "body")] if denial_extension else [(20, "close")]
    assert moments == [20]
    assert server.ended_at == 20
    assert server.error is None
    assert log.line().startswith("ERROR [wsguard-H4] '/ws': ")


class Stuck:
    """What an app does that never answers, until it is released at last."""

    def __init__(self) -> None:
        self.released = anyio.Event()
        self.thread = Thread()
        self.cancellations = 0

    def release(self, server: StrictServer) -> None:
        self.released.set()
        self.thread.let_go()

    async def awaits(self) -> None:
        await self.released.wait()

    async def lock(self) -> None:
        async def hold() -> None:
            async with lock:
                await self.released.wait()

        lock = anyio.Lock()
        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            async with lock:
                pass

    async def shield(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.released.wait()

    async def swallow_once(self) -> None:
        try:
            await self.released.wait()
        except anyio.get_cancelled_exc_class():
            await self.released.wait()

    async def swallow_for_ever(self) -> None:
        while not self.released.is_set() and self.cancellations < 1000:
            try:
                await self.released.wait()
            except anyio.get_cancelled_exc_class():
                self.cancellations += 1

    async def sit_in_a_thread(self) -> None:
        await self.thread.wait()


STUCK = [name for name in vars(Stuck) if not name.startswith("_") and name != "release"]


@on_each_server
@pytest.mark.parametrize("how", STUCK)
@in_virtual_time
async def test_h4_whatever_the_app_does(how: str, denial_extension: bool) -> None:
    stuck = Stuck()
    late: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await getattr(stuck, how)()
        finally:
            for message in (ACCEPT, TEXT, START, LAST_BODY):
                try:
                    await send(message)
                except ClientDisconnected:
                    late.append(message["type"])
            await send(CLOSE)

    server = Timed(denial_extension=denial_extension)
    await serve(app, (45, stuck.release), server=server)
    assert server.client == Client(denial=STOPPING if denial_extension else FORBIDDEN)
    assert {when for when, _ in server.times} == {20}
    assert late == [message["type"] for message in (ACCEPT, TEXT, START, LAST_BODY)]
    assert server.error is None
    if how in ("awaits", "lock"):
        assert server.ended_at == 20
    elif how == "swallow_once":
        assert 20 <= server.ended_at <= 30
    else:
        assert server.ended_at <= 45


@on_asyncio
@in_virtual_time
async def test_h4_an_app_in_asyncios_shield() -> None:
    inner = asyncio.get_running_loop().create_task(asyncio.sleep(45))

    async def wait() -> None:
        await asyncio.shield(inner)

    server = await serve(app_that(then=wait))
    assert server.times == [(20, "start"), (20, "body")]
    assert server.ended_at == 20
    await inner


@in_virtual_time
async def test_h4_an_app_that_ignores_cancellation_does_not_spin() -> None:
    stuck = Stuck()
    done: list[int] = []

    def note(server: StrictServer) -> None:
        done.append(steps())

    await serve(app_that(then=stuck.swallow_for_ever), (20, note), (80, note), (90, stuck.release))
    assert 2 <= stuck.cancellations <= 500
    assert done[1] - done[0] < 1000


@in_virtual_time
async def test_h4_cancelled_again() -> None:
    moments: list[float] = []

    async def wait() -> None:
        with contextlib.suppress(anyio.get_cancelled_exc_class()), noting(moments):
            await anyio.sleep_forever()
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app_that(then=wait), handshake_timeout=2, exit_timeout=4)
    assert moments[0] == 2
    assert 2 <= moments[1] <= 6
    assert server.ended_at == moments[1]


@pytest.mark.parametrize("messages", [(START,), (START, START)])
@in_virtual_time
async def test_h4_an_app_that_only_started_to_deny(messages: Any) -> None:
    """What it started says nothing yet; where it sent more, that is refused."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for message in messages:
            with contextlib.suppress(RuntimeError):
                await send(message)
        await anyio.sleep_forever()

    server = await serve(app)
    assert server.client == Client(denial=STOPPING)
    assert server.times == [(20, "start"), (20, "body")]
    assert server.ended_at == 20


@in_virtual_time
async def test_h4_an_app_in_the_middle_of_its_denial() -> None:
    """It cannot be answered again: it is left open, for the server to cut."""
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app_that(START, BODY, then=wait))
    assert server.client.denial == Denial(401, START["headers"], b"no")
    assert server.times == [(0, "start"), (0, "body")]
    assert moments == [20]
    assert server.ended_at == 20


@pytest.mark.parametrize("denial_extension", [True, False])
@in_virtual_time
async def test_h4_the_server_does_not_take_the_answer(denial_extension: bool) -> None:
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app_that(then=wait), server=Blocked(denial_extension=denial_extension))
    assert moments == [25]
    assert server.ended_at == 25


@in_virtual_time
async def test_h4_an_app_that_answers_while_the_guard_does() -> None:
    raised: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.sleep(20.25)
        try:
            await send(ACCEPT)
        except ClientDisconnected:
            raised.append(anyio.current_time())
        await anyio.sleep_forever()

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            await anyio.sleep(1)

    server = await serve(app, server=Slow())
    assert server.times == [(20, "start"), (21, "body")]
    assert raised == [20.25]
    assert server.ended_at == 22


@in_virtual_time
async def test_h4_an_app_that_answers_in_time() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.sleep(19.5)
        await send(ACCEPT)
        await anyio.sleep(100)
        await send(TEXT)

    server = await serve(app)
    assert server.times == [(19.5, "accept"), (119.5, "send"), (119.5, "close")]


@in_virtual_time
async def test_h4_off() -> None:
    server = await serve(app_that(then=partial(anyio.sleep, 3000)), handshake_timeout=None)
    assert server.client.denial is not None
    assert server.client.denial.status == 500
    assert server.ended_at == 3000


@in_virtual_time
async def test_h4_two_guards(log: Log) -> None:
    server = await serve(WebSocketGuardMiddleware(app_that(then=anyio.sleep_forever), handshake_timeout=2))
    assert server.times == [(20, "start"), (20, "body")]
    assert len(log.lines()) == 1


# H13


@in_virtual_time
async def test_h13_o11_a_late_close_is_refused_when_the_app_has_ended() -> None:
    """It does not open the connection again for the task that outlives the app."""

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            try:
                await super().send(message)
            finally:
                if message["type"] == "websocket.close":
                    await anyio.sleep(2)

    raised: list[BaseException] = []
    server = Slow(refused_codes=[4001])
    async with anyio.create_task_group() as group:

        async def late(send: Send) -> None:
            for message in ({**CLOSE, "code": 4001}, TEXT):
                try:
                    await send(message)
                except (ValueError, ClientDisconnected) as exc:
                    raised.append(exc)

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send(ACCEPT)
            group.start_soon(late, send)
            await anyio.sleep(1)

        await serve(app, server=server)
    assert [type(exc) for exc in raised] == [ValueError, ClientDisconnected]
    assert server.violations == []


# H12


@pytest.mark.parametrize("takes_connect", [True, False])
@pytest.mark.parametrize("answer", [ACCEPT, START, LAST_BODY])
@in_virtual_time
async def test_h12_the_client_leaves_while_the_app_decides(takes_connect: bool, answer: Any) -> None:
    """On a server that drops in silence what is sent then."""
    raised: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            await receive()
        if answer is LAST_BODY:
            await send(START)
        await anyio.sleep(5)
        try:
            await send(answer)
        except ClientDisconnected:
            raised.append(answer["type"])
            raise

    server = await serve(app, (2, leaves), server=Timed(raise_when_gone=False))
    assert raised == [answer["type"]]
    assert server.sent == [LETS_GO]
    assert server.ended_at == 5
    assert server.error is None


@pytest.mark.parametrize("takes_connect", [True, False])
@pytest.mark.parametrize("waits", [0, 5])
@in_virtual_time
async def test_h12_receive_gives_the_disconnect(takes_connect: bool, waits: float) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            got.append(await receive())
        await anyio.sleep(waits)
        while len(got) < 3:
            got.append(await receive())
        moments.append(anyio.current_time())

    moments: list[float] = []
    server = await serve(app, (2, lambda server: server.client_leaves(1001, "away")))
    disconnect = {"type": DISCONNECT, "code": 1001, "reason": "away"}
    assert got == [{"type": "websocket.connect"}, disconnect, disconnect]
    assert moments == [max(waits, 2)]
    assert server.sent == [LETS_GO]


@pytest.mark.parametrize("takes_connect", [True, False])
@in_virtual_time
async def test_h12_an_app_that_never_decides(log: Log, takes_connect: bool) -> None:
    moments: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            await receive()
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app, (15, leaves))
    assert server.sent == [LETS_GO]
    assert 25 <= moments[0] <= 26
    assert server.ended_at == moments[0]
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O12] '/ws': ")


# O8


ENDS = {"close": (ACCEPT, CLOSE), "deny": (START, LAST_BODY), "deny by close": (CLOSE,)}


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("repeat_disconnect", [True, False])
@pytest.mark.parametrize("when", [0, 2, 3, 7])
@in_virtual_time
async def test_o8_after_its_own_end(ends: str, repeat_disconnect: bool, when: float) -> None:
    """A `receive()` that was already waiting gets the disconnect, too."""
    got: list[tuple[float, Any]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            await anyio.sleep(when)
            for _ in range(3):
                got.append((anyio.current_time(), await receive()))

        async with anyio.create_task_group() as group:
            await receive()
            *first, last = ENDS[ends]
            for message in first:
                await send(message)
            for _ in range(2):
                group.start_soon(listen)
            await anyio.sleep(3)
            await send(last)

    server = await serve(app, server=Timed(repeat_disconnect=repeat_disconnect))
    assert [message["type"] for _, message in got] == [DISCONNECT] * 6
    assert len({message["code"] for _, message in got}) == 1
    assert all(began == when or 3 <= began <= 8 for began, _ in got)
    assert server.ended_at <= (8 if repeat_disconnect is False else max(3, when))


@pytest.mark.parametrize("repeat_disconnect", [True, False])
@in_virtual_time
async def test_o8_an_app_that_spins(repeat_disconnect: bool) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            while len(got) < 1000:
                got.append(await receive())

        await receive()
        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.sleep(3)
            await send({**CLOSE, "code": 4001})

    server = await serve(app, server=Timed(repeat_disconnect=repeat_disconnect))
    assert len(got) == 100
    assert all(message == got[0] for message in got)
    assert got[0]["type"] == DISCONNECT
    assert server.error is None
    assert server.ended_at <= 8


@in_virtual_time
async def test_o8_the_client_goes_on_after_the_close() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send(CLOSE)
        got.append(await disconnected(receive))

    busy = [(second / 2, sends("more")) for second in range(40)]
    server = await serve(app, *busy, server=Timed(repeat_disconnect=False))
    assert got[0]["type"] == DISCONNECT
    assert server.ended_at <= 5.5


@in_virtual_time
async def test_o8_off() -> None:
    """Without a `close_timeout` such an app waits; that is over with its `exit_timeout`."""
    moments: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send(CLOSE)
        with noting(moments):
            await receive()

    await serve(app, server=Timed(repeat_disconnect=False), close_timeout=None)
    assert moments == [10]


# O12


@in_virtual_time
async def test_o12_an_app_that_waits_for_something_else(log: Log) -> None:
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app_that(ACCEPT, then=wait), (3, leaves))
    assert 13 <= moments[0] <= 14
    assert server.ended_at == moments[0]
    assert server.error is None
    assert server.sent == [ACCEPT]
    assert log.line().startswith("WARNING [wsguard-O12] '/ws': ")


@pytest.mark.parametrize("leaves_at", [3, 3.125, 3.375, 3.5, 3.625, 4])
@pytest.mark.parametrize("raise_when_gone", [True, False])
@in_virtual_time
async def test_o12_an_app_that_only_sends(raise_when_gone: bool, leaves_at: float) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        while True:
            await send(TEXT)
            await anyio.sleep(0.25)

    server = await serve(app, (leaves_at, leaves), server=Timed(raise_when_gone=raise_when_gone))
    assert leaves_at <= server.ended_at <= leaves_at + 1
    assert server.error is None


@pytest.mark.parametrize("leaves_at", [1, 1.75, 2, 2.25, 5])
@in_virtual_time
async def test_o12_an_app_that_gave_up_receiving(leaves_at: float) -> None:
    moments: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            await disconnected(receive)

        await receive()
        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.sleep(2)
            group.cancel_scope.cancel()
        with noting(moments):
            await anyio.sleep_forever()

    await serve(app, (leaves_at, leaves), (50, stops))
    assert leaves_at + 10 <= moments[0] <= leaves_at + 11


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("repeat_disconnect", [True, False])
@in_virtual_time
async def test_o12_after_its_own_end(ends: str, repeat_disconnect: bool) -> None:
    moments: list[float] = []
    *first, last = ENDS[ends]

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for message in first:
            await send(message)
        await anyio.sleep(3)
        await send(last)
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app, server=Timed(repeat_disconnect=repeat_disconnect))
    assert moments == [13]
    assert server.ended_at == 13
    assert server.error is None
    assert len(server.sent) == len(ENDS[ends])


@in_virtual_time
async def test_o12_an_app_that_knows() -> None:
    """It has received the disconnect, or its send has failed, and it goes on."""
    moments: list[float] = []

    async def receiving(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        with noting(moments):
            await anyio.sleep_forever()

    async def sending(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep_until(start + 3.5)
        with pytest.raises(ClientDisconnected):
            await send(TEXT)
        with noting(moments):
            await anyio.sleep_forever()

    start = 0.0
    for app in (receiving, sending):
        start = anyio.current_time()
        server = await serve(app, (start + 3, leaves))
        assert moments.pop() == start + 13
        assert server.ended_at == start + 13
        assert server.error is None


@pytest.mark.parametrize("how", STUCK)
@in_virtual_time
async def test_o12_whatever_the_app_does(how: str) -> None:
    stuck = Stuck()
    server = await serve(app_that(ACCEPT, then=getattr(stuck, how)), (3, leaves), (45, stuck.release))
    assert server.sent == [ACCEPT]
    assert server.error is None
    if how in ("awaits", "lock"):
        assert 13 <= server.ended_at <= 14
    elif how == "swallow_once":
        assert 13 <= server.ended_at <= 24
    else:
        assert server.ended_at <= 45
    assert stuck.cancellations <= 500


@in_virtual_time
async def test_o12_an_app_that_ends_in_time_is_left_alone(log: Log) -> None:
    server = await serve(app_that(ACCEPT, then=partial(anyio.sleep, 12)), (3, leaves))
    assert server.ended_at == 12
    assert log.lines() == []


@in_virtual_time
async def test_o12_an_app_that_cleans_up() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(4)
            await send(CLOSE)

    server = await serve(app, (3, leaves))
    assert 17 <= server.ended_at <= 18
    assert server.sent == [ACCEPT]
    assert server.error is None


@in_virtual_time
async def test_o12_what_the_app_raises_on_its_cancellation_goes_on() -> None:
    error = AppError("app")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        try:
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            raise error from None

    server = await serve(app, (3, leaves))
    assert server.error is error
    assert 13 <= server.ended_at <= 14


@by_scope_and_by_task
@pytest.mark.parametrize("when", [3, 8, 13, 14.5])
@pytest.mark.parametrize("deadline", ["handshake_timeout", "exit_timeout"])
@in_virtual_time
async def test_o12_the_servers_own_cancellation_goes_on(deadline: str, when: float, own_task: bool) -> None:
    """Also in the moment when the guard cancels, and while the app cleans up after that."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        if deadline == "exit_timeout":
            await send(ACCEPT)
            await receive()
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)

    leaving = [(3, leaves)] if deadline == "exit_timeout" else []
    server = Timed()
    await serve(app, *leaving, (when, stops), server=server, own_task=own_task, handshake_timeout=13)
    if when != 13:  # in the very same moment either may be first; the next assertion holds even then
        assert server.cancelled
    assert server.error is None
    assert server.ended_at <= 17.5


@on_asyncio
@in_virtual_time
async def test_o12_the_task_is_not_left_cancelled() -> None:
    """What counts cancellations, as asyncio.timeout() and TaskGroup do since Python 3.11, finds none."""
    task = asyncio.current_task()
    await serve(app_that(ACCEPT, then=anyio.sleep_forever), (3, leaves))
    assert getattr(task, "cancelling", lambda: 0)() == 0
    await asyncio.sleep(0)


@in_virtual_time
async def test_o12_off() -> None:
    server = await serve(app_that(ACCEPT, then=partial(anyio.sleep, 2000)), (3, leaves), exit_timeout=None)
    assert server.ended_at == 2000
    assert server.error is None


@in_virtual_time
async def test_o12_an_app_that_wakes_up_as_it_is_cancelled() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        while True:
            await anyio.sleep(0.25)

    for _ in range(10):
        start = anyio.current_time()
        server = await serve(app, (start + 3, leaves), (start + 60, stops))
        assert start + 13 <= server.ended_at <= start + 14


@in_virtual_time
async def test_o12_the_apps_own_tasks_are_reached() -> None:
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            group.start_soon(wait)

    server = await serve(app, (3, leaves))
    assert moments == [server.ended_at] * 2
    assert 13 <= server.ended_at <= 14


# One message ahead


@pytest.mark.parametrize("takes_connect", [True, False])
@in_virtual_time
async def test_one_message_ahead_and_never_more(takes_connect: bool) -> None:
    got: list[Any] = []
    handed: list[int] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            got.append(await receive())
        await send(ACCEPT)
        while len(got) < 6:
            await anyio.sleep(10)
            handed.append(len(server.handed) - len(got))
            got.append(await receive())

    server = Timed()
    data: list[Event] = [(0, sends(text)) for text in "abcde"]
    await serve(app, *data, server=server)
    assert [message.get("text", "connect") for message in got] == ["connect", *"abcde"]
    assert got == server.handed
    assert max(handed) <= (1 if takes_connect else 2)


@in_virtual_time
async def test_messages_are_handed_on_as_they_are() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        while len(got) < 12:
            await anyio.sleep(len(got) % 3)
            got.append(await receive())

    data: list[Event] = [(number, sends(str(number) if number % 2 else b"1")) for number in range(10)]
    server = await serve(app, *data, (10, leaves))
    assert got == server.handed[: len(got)]
    assert all(one is other for one, other in zip(got[:-1], server.handed))


def with_move_on_after(receive: Receive, seconds: float) -> Any:
    async def limited() -> Any:
        with anyio.move_on_after(seconds):
            return await receive()

    return limited()


def with_wait_for(receive: Receive, seconds: float) -> Any:
    async def limited() -> Any:
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(receive(), seconds)

    return limited()


def polling(receive: Receive, seconds: float) -> Any:
    """Take what there is, without waiting; trio gives nothing to those who cannot wait."""
    return with_move_on_after(receive, 0)


LIMITS = [
    ("asyncio", with_move_on_after),
    ("trio", with_move_on_after),
    ("asyncio", with_wait_for),
    ("asyncio", polling),
]


@pytest.mark.parametrize(("anyio_backend", "limited"), LIMITS)
@pytest.mark.parametrize("seconds", [0.125, 0.25, 0.3, 0.5, 0.75, 1])
@pytest.mark.parametrize("pause", [0, 0.25, 0.5, 0.6, 1.25])
@in_virtual_time
async def test_no_message_is_lost_to_a_time_limit(limited: Any, seconds: float, pause: float) -> None:
    """Messages come in the very moments, too, when the time is over, and when the guard has a look."""
    got: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while True:
            message = await limited(receive, seconds)
            if message is not None and message["type"] == DISCONNECT:
                return
            if message is not None:
                got.append(message["text"])
            if message is None or len(got) % 3 == 0:
                await anyio.sleep(pause or 0.125)

    moments = [number * 0.25 + (number % 7) * 0.5 for number in range(60)]
    moments.sort()
    data: list[Event] = [(moment, sends(str(number))) for number, moment in enumerate(moments)]
    server = await serve(app, *data, (60, leaves))
    assert got == [str(number) for number in range(60)]
    assert server.error is None


@in_virtual_time
async def test_a_receive_that_waits_for_the_message_ahead_is_given_up() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.sleep(2)
        for _ in range(3):
            with anyio.move_on_after(1):
                await receive()
                raise AssertionError("nothing was sent yet")
        got.append((await receive())["text"])
        got.append(anyio.current_time())
        await anyio.sleep(5)
        got.append((await receive())["text"])

    await serve(app, (6, sends("a")), (7, sends("b")))
    assert got == ["a", 6, "b"]


@pytest.mark.parametrize("pause", [0, 0.25, 0.75, 2])
@pytest.mark.parametrize("receivers", [2, 5])
@in_virtual_time
async def test_several_tasks_receive_at_once(receivers: int, pause: float) -> None:
    got: list[list[int]] = [[] for _ in range(receivers)]
    ended: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen(number: int) -> None:
            while (message := await receive())["type"] != DISCONNECT:
                got[number].append(int(message["text"]))
                await anyio.sleep(pause * (number + 1))
            ended.append(anyio.current_time())

        await receive()
        await send(ACCEPT)
        await anyio.sleep(1.5)
        async with anyio.create_task_group() as group:
            for number in range(receivers):
                group.start_soon(listen, number)

    data: list[Event] = [(number * 0.25, sends(str(number))) for number in range(40)]
    await serve(app, *data, (60, leaves))
    assert all(numbers == sorted(numbers) for numbers in got)
    assert sorted(itertools.chain(*got)) == list(range(40))
    assert ended == [60] * receivers


@pytest.mark.parametrize("begins", [0, 2])
@in_virtual_time
async def test_a_task_receives_while_another_is_busy(begins: float) -> None:
    got: list[tuple[float, str]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            message = await receive()
            got.append((anyio.current_time(), message["text"]))
            await anyio.sleep(100)

        await receive()
        await send(ACCEPT)
        await anyio.sleep(begins)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(listen)

    await serve(app, (5, sends("a")), (5.25, sends("b")), (9, sends("c")))
    assert got == [(5, "a"), (5.25, "b"), (9, "c")]


@in_virtual_time
async def test_a_connection_where_nothing_happens_costs_nothing() -> None:
    """The app waits for the client, or for something else."""
    for wait in (lambda receive: receive(), lambda receive: anyio.sleep_forever()):
        done: list[int] = []

        async def app(scope: Any, receive: Receive, send: Send, wait: Any = wait) -> None:
            await receive()
            await send(ACCEPT)
            await wait(receive)

        def note(server: StrictServer, done: list[int] = done) -> None:
            done.append(steps())

        start = anyio.current_time()
        await serve(app, (start + 5, note), (start + 1000, note), (start + 1000, stops))
        assert done[1] - done[0] < 10


# O13, O14, O15


def listening(got: list[Any]) -> Any:
    """Return an app that accepts after a second, waits for the disconnect, and goes on when it has it."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep(1)
        await send(ACCEPT)
        got.append(await disconnected(receive))
        got.append(anyio.current_time())
        try:
            await send(TEXT)
        except ClientDisconnected as exc:
            got.append(type(exc))
        with noting(got):
            await anyio.sleep_forever()

    return app


@in_virtual_time
async def test_o13_nobody_says_anything(log: Log) -> None:
    got: list[Any] = []
    server = await serve(listening(got), idle_timeout=8)
    disconnect, closed_at, raised, cancelled_at = got
    assert 9 <= closed_at <= 10
    assert server.times == [(1, "accept"), (closed_at, "close")]
    assert server.client.close_code == 1001
    assert (disconnect["type"], disconnect["code"]) == (DISCONNECT, 1001)
    assert raised is ClientDisconnected
    assert cancelled_at == closed_at + 10
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O12] '/ws': the app went on for 10 s ")
    assert log.line().endswith(
        "; it was cancelled. Before that no message came or went for 8 s; the client was closed with 1001"
    )


@pytest.mark.parametrize("who", ["client", "app", "app with bytes"])
@in_virtual_time
async def test_o13_a_message_either_way_keeps_it_open(who: str) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        if who == "client":
            await disconnected(receive)
            return
        for _ in range(8):
            await anyio.sleep(5)
            await send(TEXT if who == "app" else {"type": "websocket.send", "bytes": b"1"})
        await disconnected(receive)

    data: list[Event] = [(5 * number, sends("hi")) for number in range(1, 9)] if who == "client" else []
    server = await serve(app, *data, idle_timeout=8)
    assert server.client.close_code == 1001
    assert 48 <= server.times[-1][0] <= 49
    assert server.ended_at == server.times[-1][0]


@in_virtual_time
async def test_o13_not_too_early_where_two_tasks_receive() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen(begins: float) -> None:
            await anyio.sleep(begins)
            await disconnected(receive)

        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(listen, 0.25)
            group.start_soon(listen, 0.375)

    server = await serve(app, (0, sends("hi")), idle_timeout=4)
    assert 4.25 <= server.times[-1][0] <= 4.875


@in_virtual_time
async def test_o14_at_the_end_of_its_life(log: Log) -> None:
    got: list[Any] = []
    data: list[Event] = [(second, sends("hi")) for second in range(2, 40)]
    server = await serve(listening(got), *data, max_lifetime=30, idle_timeout=8)
    disconnect, closed_at, raised, cancelled_at = got
    assert closed_at == 31
    assert server.times == [(1, "accept"), (31, "close")]
    assert server.client.close_code == 1001
    assert (disconnect["type"], disconnect["code"]) == (DISCONNECT, 1001)
    assert raised is ClientDisconnected
    assert cancelled_at == 41
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O12] '/ws': the app went on for 10 s ")
    assert log.line().endswith(
        "; it was cancelled. Before that the connection was open for 30 s; the client was closed with 1001"
    )


@pytest.mark.parametrize("deadline", ["idle_timeout", "max_lifetime"])
@pytest.mark.parametrize("repeat_disconnect", [True, False])
@in_virtual_time
async def test_o13_o14_an_app_that_does_not_listen(deadline: str, repeat_disconnect: bool) -> None:
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    server = Timed(repeat_disconnect=repeat_disconnect)
    await serve(app_that(ACCEPT, then=wait), server=server, **{deadline: 8})
    assert server.client.close_code == 1001
    assert 8 <= server.times[-1][0] <= 9
    assert moments == [server.times[-1][0] + 10]


@in_virtual_time
async def test_o13_o14_only_once_it_is_open() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.sleep(15)
        await send(ACCEPT)
        await disconnected(receive)

    for options in ({"idle_timeout": 8}, {"max_lifetime": 8}):
        start = anyio.current_time()
        server = await serve(app, **options)  # type: ignore[arg-type]
        assert [kind for _, kind in server.times] == ["accept", "close"]
        assert start + 23 <= server.ended_at <= start + 24


@pytest.mark.parametrize("deadline", ["idle_timeout", "max_lifetime"])
@in_virtual_time
async def test_o13_o14_the_server_does_not_take_the_close(deadline: str) -> None:
    got: list[Any] = []
    server = await serve(listening(got), server=Blocked(), **{deadline: 8})
    closed_at = server.times[-1][0]
    assert closed_at <= 10
    disconnect, received_at, raised, cancelled_at = got
    assert disconnect["code"] == 1001
    assert received_at <= closed_at + 5
    assert raised is ClientDisconnected
    assert cancelled_at <= closed_at + 15
    assert server.error is None


@in_virtual_time
async def test_o15_one_send_is_stuck(log: Log) -> None:
    raised: list[float] = []
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            got.append(await disconnected(receive))

        await receive()
        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.sleep(4)
            for _ in range(3):
                try:
                    await send(TEXT)
                except ClientDisconnected:
                    raised.append(anyio.current_time())
        await anyio.sleep_forever()

    server = await serve(app, (2, stops_reading), send_timeout=3)
    assert server.client.close_code == 1008
    assert [kind for _, kind in server.times] == ["accept", "send", "close"]
    closed_at = server.times[-1][0]
    assert 7 <= closed_at <= 7.5
    assert raised == [closed_at] * 3
    assert (got[0]["type"], got[0]["code"]) == (DISCONNECT, 1008)
    assert server.ended_at == closed_at + 10
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O12] '/ws': the app went on for 10 s ")
    assert "Before that the app was stuck for 3 s in sending to a client that does not read; " in log.line()


@pytest.mark.parametrize("data", [TEXT, {"type": "websocket.send", "bytes": bytearray(b"1")}])
@in_virtual_time
async def test_e6_o15_a_send_beside_a_close(data: Any) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def attempt(message: Any) -> None:
            with contextlib.suppress(ClientDisconnected):
                await send(message)

        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(attempt, data)
            group.start_soon(attempt, CLOSE)

    for _ in range(10):
        server = await serve(app, send_timeout=3)
        assert server.client.close_code == 1000


@pytest.mark.parametrize("data", [TEXT, {"type": "websocket.send", "bytes": bytearray(b"1")}])
@in_virtual_time
async def test_o15_several_sends_are_stuck(data: Any) -> None:
    raised: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def push(when: float) -> None:
            await anyio.sleep_until(when)
            try:
                await send(data)
            except ClientDisconnected:
                raised.append(anyio.current_time())

        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            for when in (4, 4, 5, 6, 6.5):
                group.start_soon(push, when)

    server = await serve(app, (2, stops_reading), send_timeout=3)
    assert server.client.close_code == 1008
    assert 7 <= server.ended_at <= 7.5
    assert raised == [server.ended_at] * 5
    assert server.error is None


@in_virtual_time
async def test_o15_a_client_that_reads_slowly() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        for _ in range(10):
            await send(TEXT)
            await anyio.sleep(1)

    events: list[Event] = []
    for second in range(0, 30, 3):
        events += [(second + 0.25, stops_reading), (second + 2.5, reads)]
    server = await serve(app, *events, send_timeout=3)
    assert server.client == Client(accepted=True, messages=["hi"] * 10, close_code=1000)


@in_virtual_time
async def test_o15_an_app_that_gives_up_before() -> None:
    """No send is stuck for long; and a limit of the app's own that ends later still works."""
    given_up: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(1)
        for limit in (1, 2, 1, 2, 30):
            with anyio.move_on_after(limit) as scope:
                await send(TEXT)
            if scope.cancel_called:
                given_up.append(anyio.current_time())

    server = await serve(app, (0, stops_reading), (9, reads), send_timeout=3)
    assert given_up == [2, 4, 5, 7]
    assert server.client.close_code == 1000


@by_scope_and_by_task
@pytest.mark.parametrize("when", [5, 7])
@in_virtual_time
async def test_o15_cancelled_while_a_send_is_stuck(own_task: bool, when: float) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(4)
        await send(TEXT)

    server = await serve(app, (2, stops_reading), (when, stops), own_task=own_task, send_timeout=3)
    assert server.ended_at == when
    assert server.error is None
    if when == 5:
        assert server.cancelled
        assert server.client.close_code == 1012


@in_virtual_time
async def test_o15_the_close_is_stuck_too() -> None:
    raised: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(4)
        try:
            await send(TEXT)
        except ClientDisconnected:
            raised.append(anyio.current_time())
            raise

    server = await serve(app, (2, stops_reading), server=Blocked(), send_timeout=3)
    assert [kind for _, kind in server.times] == ["accept", "send", "close"]
    assert 7 <= raised[0] <= 12.5
    assert server.ended_at <= 12.5
    assert server.error is None


@in_virtual_time
async def test_o13_o14_o15_off() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send(TEXT)

    server = await serve(app, (1, stops_reading), (1500, sends("hi")), (3000, reads))
    assert server.client == Client(accepted=True, messages=["hi"], close_code=1000)
    assert server.ended_at == 3000


# E9


@on_each_server
@in_virtual_time
async def test_e9_too_many_connections(log: Log, denial_extension: bool) -> None:
    """The next one has a place as soon as one ends, however it ends."""
    calls: list[str] = []
    servers: dict[str, Timed] = {}

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        kind = scope["state"]["kind"]
        calls.append(kind)
        await receive()
        if kind == "never answers":
            await anyio.sleep_forever()
        await send(ACCEPT)
        await anyio.sleep(2)
        if kind == "raises":
            raise AppError
        if kind == "interrupts":
            raise BaseException("app")
        await disconnected(receive)

    guarded = WebSocketGuardMiddleware(app, max_connections=2, handshake_timeout=2)

    async def connect(kind: str) -> None:
        server = servers[kind] = Timed(denial_extension=denial_extension)
        server.scope["state"]["kind"] = kind
        with contextlib.suppress(BaseException if kind == "interrupts" else AppError):
            await server.serve(guarded)

    async with anyio.create_task_group() as group:
        group.start_soon(connect, "stays")
        for kind in ("leaves", "raises", "interrupts", "cancelled", "never answers", "last"):
            await anyio.sleep(1)
            group.start_soon(connect, kind)
            await anyio.sleep(1)
            too_many = f"too many beside the one that {kind}"
            group.start_soon(connect, too_many)
            await anyio.sleep(0.5)
            assert servers[too_many].ended_at == anyio.current_time() - 0.5
            if kind == "leaves":
                servers[kind].client_leaves()
            if kind == "cancelled":
                servers[kind].stops()
            if kind != "last":
                await anyio.sleep(1)
                assert not math.isnan(servers[kind].ended_at), kind
        for kind in ("stays", "last"):
            servers[kind].client_leaves()

    assert calls == [kind for kind in servers if not kind.startswith("too many")]
    for kind, server in servers.items():
        assert server.violations == []
        if kind not in calls:
            assert server.error is None
            denial = server.client.denial
            if denial_extension:
                assert denial is not None
                assert (denial.status, denial.complete) == (503, True)
                assert "retry-after" in [name.decode().lower() for name, _ in denial.headers]
            else:
                assert denial == FORBIDDEN
    assert sum(line.startswith("WARNING [wsguard-E9] '/ws': ") for line in log.lines()) == 6


@in_virtual_time
async def test_e9_other_scopes_do_not_count() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(1)

    guarded = WebSocketGuardMiddleware(app, max_connections=1)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(guarded, {"type": "http"}, None, None)
        await anyio.sleep(0.5)
        server = Timed()
        await server.serve(guarded)
        assert server.client.denial is not None
        assert server.client.denial.status == 500


# E7


class App:
    """One that can be referred to weakly."""

    def __init__(self, *, receives: bool) -> None:
        self.receives = receives

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await (receive() if self.receives else anyio.sleep_forever())


@pytest.mark.parametrize("receives", [True, False])
@pytest.mark.parametrize(
    "options", [{}, dict.fromkeys(TIMEOUTS), dict.fromkeys(TIMEOUTS, 5), {"max_connections": 1}], ids=str
)
@in_virtual_time
async def test_e7_nothing_refers_to_the_connection(options: dict[str, Any], receives: bool) -> None:
    app = App(receives=receives)
    guarded = WebSocketGuardMiddleware(app, **options)
    seen: list[weakref.ref[Any]] = []

    async def connect() -> None:
        server = Timed()
        seen.append(weakref.ref(server))
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, guarded)
            await anyio.sleep(2)
            server.client_leaves()
            await anyio.sleep(1)
            if not options.get("exit_timeout", 5):
                server.stops()

    await connect()
    await anyio.lowlevel.checkpoint()
    gc.collect()
    assert seen[0]() is None


# The options


@pytest.mark.parametrize("name", TIMEOUTS)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (0.0, ValueError),
        (-1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (True, TypeError),
        (False, TypeError),
        ("5", TypeError),
    ],
)
def test_a_wrong_timeout(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        WebSocketGuardMiddleware(app_that(then=anyio.sleep_forever), **{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (1.0, TypeError), (math.nan, TypeError), ("5", TypeError)],
)
def test_a_wrong_number_of_connections(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        WebSocketGuardMiddleware(app_that(then=anyio.sleep_forever), max_connections=value)
    assert "max_connections" in str(caught.value)
    assert repr(value) in str(caught.value)
