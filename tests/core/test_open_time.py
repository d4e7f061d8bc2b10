"""An app that outlives its client or its own end (O8, O12, O16), in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected
from harness.apps import (
    STUCK,
    AppError,
    Stuck,
    app_that,
    disconnected,
    noting,
    told_as_it_closes,
    told_by_receive,
    ways_to_know,
)
from harness.backends import on_asyncio
from harness.clock import in_virtual_time
from harness.log import Log
from harness.messages import ACCEPT, CLOSE, DISCONNECT, LAST_BODY, START, TEXT, Receive, Send
from harness.timed import Timed, by_scope_and_by_task, leaves, sends, serve, stops

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
    assert [message["type"] for _, message in got] == [DISCONNECT] * 2
    assert len({message["code"] for _, message in got}) == 1
    assert all(began == when or 3 <= began <= 8 for began, _ in got)
    assert server.ended_at <= (8 if repeat_disconnect is False else max(3, when))


@pytest.mark.parametrize("repeat_disconnect", [True, False])
@in_virtual_time
async def test_o8_o16_an_app_that_spins(log: Log, repeat_disconnect: bool) -> None:
    """It is given the disconnect once, and cancelled when it still waits for more after `exit_timeout`."""
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
    assert [message["type"] for message in got] == [DISCONNECT]
    assert server.error is None
    assert 13 <= server.ended_at <= 18
    assert log.line().startswith("WARNING [wsguard-O16] '/ws': The app was still using the connection ")


@pytest.mark.parametrize("tasks", [3, 200])
@in_virtual_time
async def test_o8_each_task_once_and_a_hundred_times_at_most(tasks: int) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            got.append(await receive())
            got.append(await receive())

        await receive()
        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            for _ in range(tasks):
                group.start_soon(listen)

    await serve(app, (3, leaves), server=Timed(repeat_disconnect=False))
    assert len(got) == min(tasks, 100)


@in_virtual_time
async def test_o8_tasks_that_are_made_for_one_call_count_as_one() -> None:
    """As Channels makes them, and `asyncio.wait_for()` before Python 3.12."""
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def one_call() -> None:
            async with anyio.create_task_group() as group:
                group.start_soon(receive)

        await receive()
        await send(ACCEPT)
        for _ in range(3):
            await one_call()
            got.append(anyio.current_time())

    server = await serve(app, (3, leaves))
    assert got == [3]
    assert 13 <= server.ended_at <= 14


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
    """Without a `close_timeout` such an app is told at `exit_timeout`."""
    moments: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await send(CLOSE)
        await receive()
        moments.append(anyio.current_time())

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
    if leaves_at < 2:  # it was told
        assert moments[0] == 50
    elif leaves_at == 2:  # in the very moment in which it gives up
        assert moments[0] in (50, 12, 12.5, 13)
    else:
        assert leaves_at + 10 <= moments[0] <= leaves_at + 11


@pytest.mark.parametrize("ends", ENDS)
@pytest.mark.parametrize("repeat_disconnect", [True, False])
@in_virtual_time
async def test_o16_work_after_its_own_end(log: Log, ends: str, repeat_disconnect: bool) -> None:
    *first, last = ENDS[ends]

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for message in first:
            await send(message)
        await anyio.sleep(3)
        await send(last)
        await anyio.sleep(200)
        await send(CLOSE)

    server = await serve(app, server=Timed(repeat_disconnect=repeat_disconnect))
    assert server.ended_at == 203
    assert server.error is None
    assert len(server.sent) == len(ENDS[ends])
    (line,) = log.lines()
    assert line.startswith("INFO [wsguard-O16] '/ws': The app is still cleaning up 10 s after the connection ")
    assert f"{__file__}:" in line


@ways_to_know
@in_virtual_time
async def test_o16_an_app_that_knows_is_left_alone(learns: Any) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await learns(receive, send)
        await anyio.sleep(600)

    server = await serve(app, (3, leaves))
    assert 603 <= server.ended_at <= 605
    assert server.error is None


@pytest.mark.parametrize("learns", [told_by_receive, told_as_it_closes])
@in_virtual_time
async def test_o16_a_farewell_is_no_going_on(learns: Any) -> None:
    """It sends, once, and works on."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await learns(receive, send)
        await anyio.sleep(30)
        await send(TEXT)
        await anyio.sleep(600)

    server = await serve(app, (3, leaves), send_after_end="drop")
    assert 633 <= server.ended_at <= 635
    assert server.error is None


@pytest.mark.parametrize("send_after_end", ["raise", "drop"])
@in_virtual_time
async def test_o16_an_app_that_goes_on_sending(log: Log, send_after_end: str) -> None:
    moments: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        with noting(moments):
            while True:
                with contextlib.suppress(ClientDisconnected):
                    await send(TEXT)
                await anyio.sleep(0.25)

    server = await serve(app, (3, leaves), send_after_end=send_after_end)
    assert 13 <= moments[0] <= 14
    assert server.sent == [ACCEPT]
    assert log.line().startswith("WARNING [wsguard-O16] '/ws': The app was still using the connection 10 s after")


@in_virtual_time
async def test_o16_an_app_that_uses_it_again_much_later() -> None:
    """It stopped using the connection in time; that it does so again is when it is cancelled."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        await receive()
        await send(TEXT)
        await anyio.sleep(40)
        await send(TEXT)
        await anyio.sleep(600)

    server = await serve(app, (3, leaves), send_after_end="drop")
    assert server.ended_at == 43


@in_virtual_time
async def test_o16_cleanup_timeout(log: Log) -> None:
    moments: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        for _ in range(2):
            with contextlib.suppress(anyio.get_cancelled_exc_class()), noting(moments):
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(0.5)
                await anyio.sleep_forever()

    await serve(app, (3, leaves), cleanup_timeout=4)
    assert moments[0] == 7
    assert 7.5 <= moments[1] <= 11
    assert log.line().startswith("WARNING [wsguard-O16] '/ws': The app was still cleaning up 4 s after")


@pytest.mark.parametrize(("code", "ends"), [(1012, 13), (1001, 63)])
@in_virtual_time
async def test_o12_the_server_stops(log: Log, code: int, ends: float) -> None:
    """uvicorn waits for the apps then, and SIGTERM would take a minute."""

    def server_closes(server: Timed) -> None:
        server._arrive({"type": DISCONNECT, "code": code})

    server = await serve(app_that(ACCEPT, then=anyio.sleep_forever), (3, server_closes), exit_timeout=60)
    assert ends <= server.ended_at <= ends + 1
    assert log.line().startswith("WARNING [wsguard-O12] '/ws': ")
    assert ("the server closed the websocket because it is stopping" in log.line()) == (code == 1012)


@pytest.mark.parametrize("how", STUCK)
@in_virtual_time
async def test_o12_whatever_the_app_does(how: str) -> None:
    stuck = Stuck()
    server = await serve(app_that(ACCEPT, then=getattr(stuck, how)), (3, leaves), (45, stuck.release))
    assert server.sent == [ACCEPT]
    assert server.error is None
    if how in ("awaits", "lock"):
        assert 13 <= server.ended_at <= 14
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
