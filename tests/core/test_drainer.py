"""Calls of the drainer that meet, its list, its options and its schedule."""

from __future__ import annotations

import logging
import math
import threading
from datetime import datetime, timedelta, timezone
from functools import partial
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asgi_wsguard import ClientDisconnected, ConnectionReport, Drained, Drainer, Outcome, WebSocketGuardMiddleware
from asgi_wsguard.drain.schedule import AT_ONCE, Schedule
from asgi_wsguard.testing import StrictServer
from harness.apps import disconnected
from harness.clock import in_virtual_time
from harness.drained import ends_after, figures, reads, served
from harness.log import Log
from harness.messages import ACCEPT, TEXT, Receive, Send
from harness.timed import Blocked, Timed

# Calls that meet


@in_virtual_time
async def test_a_second_call_that_ends_sooner_takes_over() -> None:
    async with served(Drainer(grace=60, spread=60)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        first = serving.soon(serving.drainer.drain)
        await anyio.sleep(1)
        assert await serving.drainer.drain(grace=1, spread=10, code=4000) == figures(closed=10)
    moments = [server.times[-1][0] for server in serving.servers]
    assert all(2 + place <= when <= 3 + place for place, when in enumerate(moments))
    assert {server.client.close_code for server in serving.servers} == {4000}
    assert first.result == figures(closed=10)


@in_virtual_time
async def test_a_second_call_amid_the_closing_skips_the_rest() -> None:
    async with served(Drainer(grace=0, spread=10)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        first = serving.soon(serving.drainer.drain)
        await anyio.sleep(5)
        assert await serving.drainer.drain(grace=0, spread=0, code=4000) == figures(closed=10)
        assert anyio.current_time() == 5
    assert first.done_at == 5
    assert sorted(server.client.close_code or 0 for server in serving.servers) == [1012] * 5 + [4000] * 5


@in_virtual_time
async def test_a_second_call_that_ends_later_joins_the_first() -> None:
    async with served(Drainer(grace=1, spread=1)) as serving:
        (server,) = await serving.serve(reads, Timed())
        first = serving.soon(serving.drainer.drain)
        await anyio.sleep(0.5)
        assert await serving.drainer.drain(grace=0, spread=5, code=4000) == figures(closed=1)
    assert first.result == figures(closed=1)
    assert server.client.close_code == 1012


@in_virtual_time
async def test_a_call_that_is_cancelled_leaves_the_others_to_it() -> None:
    async with served(Drainer(grace=1, spread=1)) as serving:
        await serving.serve(reads, Timed())
        first = serving.soon(serving.drainer.drain)
        second = serving.soon(serving.drainer.drain)
        await anyio.sleep(0.5)
        first.scope.cancel()
    assert (first.result, second.result) == (None, figures(closed=1))


@pytest.mark.parametrize("when", [0.5, 5.0])
@in_virtual_time
async def test_a_cancelled_drain_closes_no_more_but_lets_nobody_in(when: float) -> None:
    async with served(Drainer(grace=1, spread=10)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        with anyio.move_on_after(when):
            await serving.drainer.drain()
        closed = sum(server.client.ended for server in serving.servers)
        assert closed == round(when - 1)
        await anyio.sleep(60)
        assert len(serving.drainer.connections) == 10 - closed
        assert serving.drainer.draining
        await serving.turned_away()
        assert await serving.drainer.drain() == figures(closed=10 - closed)  # goes on from here


@pytest.mark.parametrize("when", [0.5, 5.0])
@in_virtual_time
async def test_resume_calls_a_drain_off(when: float) -> None:
    async with served(Drainer(grace=1, spread=10)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(when)
        serving.drainer.resume()
        again = serving.soon(partial(serving.drainer.drain, grace=100))  # although the first has not returned yet
        await anyio.sleep(60)
        assert drain.done_at == when
        closed = sum(server.client.ended for server in serving.servers)
        assert closed == round(when - 1)
        assert drain.result == figures(closed=closed)
        assert len(serving.drainer.connections) == 10 - closed
    assert again.result == figures(closed=10 - closed)


@in_virtual_time
async def test_a_drain_that_was_called_off_is_not_joined() -> None:
    async with served(Drainer(grace=1, spread=10)) as serving:
        await serving.serve(reads, Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(0.5)
        serving.drainer.resume()
        assert await serving.drainer.drain(grace=0, spread=0) == figures(closed=1)  # the first has not returned yet
    assert drain.result == figures()


@in_virtual_time
async def test_resume_counts_what_was_closed_although_the_app_goes_on() -> None:
    async with served(Drainer(grace=0, spread=0)) as serving:
        await serving.serve(ends_after(5), Timed(), Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(1)
        serving.drainer.resume()
    assert drain.result == figures(closed=2)
    assert drain.done_at == 1


# The list


@in_virtual_time
async def test_what_is_open_is_listed() -> None:
    async with served() as serving:

        async def late(scope: Any, receive: Receive, send: Send) -> None:
            await anyio.sleep(10)
            await reads(scope, receive, send)

        async def chats(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            scope["path_template"] = "/rooms/{room}"  # as Litestar does
            await send({"type": "websocket.accept", "subprotocol": "chat"})
            await disconnected(receive)

        before = datetime.now(timezone.utc)
        await serving.serve(late, Timed("/late"))
        await serving.serve(chats, Timed("/rooms/1", subprotocols=["chat"]))
        (early,) = serving.drainer.connections
        assert (early.path, early.route, early.client) == ("/rooms/1", "/rooms/{room}", "127.0.0.1:50000")
        assert early.subprotocol == "chat"
        await anyio.sleep(20)
        after = datetime.now(timezone.utc)
        first, second = serving.drainer.connections
        assert (first.path, first.route, first.subprotocol, second) == ("/late", "", None, early)
        assert before <= second.since <= after
        assert before <= first.since - timedelta(seconds=10) <= after
        for server in serving.servers:
            server.client_leaves()
    assert serving.drainer.connections == ()


@in_virtual_time
async def test_chosen_ones_are_closed() -> None:
    async with served() as serving:
        await serving.serve(reads, *(Timed(f"/{place}") for place in range(4)))
        chosen = [one for one in serving.drainer.connections if one.path in ("/1", "/2")]
        for connection in chosen:
            await connection.close(code=4001, reason="kicked")
        assert [server.client.close_code for server in serving.servers] == [None, 4001, 4001, None]
        await chosen[0].close()  # that is over
        assert not serving.drainer.draining
        await serving.drainer.connections[0].close()
        serving.servers[3].client_leaves()
    assert [server.client.close_code for server in serving.servers] == [1000, 4001, 4001, None]
    assert serving.servers[1].client.close_reason == "kicked"


@in_virtual_time
async def test_an_app_may_close_its_own() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        (own,) = serving.drainer.connections
        await own.close()
        with pytest.raises(ClientDisconnected):
            await send(TEXT)

    async with served() as serving:
        (server,) = await serving.serve(app, Timed())
    assert (server.client.close_code, server.error) == (1000, None)


@in_virtual_time
async def test_a_close_waits_for_the_server() -> None:
    async with served(close_timeout=2) as serving:
        await serving.serve(reads, Blocked())
        await serving.drainer.connections[0].close()
        assert anyio.current_time() == 2


@in_virtual_time
async def test_one_drainer_for_several_middlewares() -> None:
    async with served() as serving:
        await serving.serve(reads, Timed("/a"))
        await serving.serve(reads, Timed("/b"))  # each call makes a middleware
        assert [one.path for one in serving.drainer.connections] == ["/a", "/b"]
        assert await serving.drainer.drain(grace=0) == figures(closed=2)


@in_virtual_time
async def test_e8_the_drainer_of_the_outer_guard_counts() -> None:
    inner = Drainer()
    async with served() as serving:
        await serving.serve(WebSocketGuardMiddleware(reads, drainer=inner), Timed())
        assert inner.connections == ()
        assert await serving.drainer.drain(grace=0) == figures(closed=1)


# Other event loops, other threads


@pytest.mark.anyio
async def test_the_state_may_be_read_from_a_thread() -> None:
    async with served() as serving:
        (server,) = await serving.serve(reads, Timed())
        assert len(await anyio.to_thread.run_sync(lambda: serving.drainer.connections)) == 1
        assert not await anyio.to_thread.run_sync(lambda: serving.drainer.draining)
        server.client_leaves()


class Loop(threading.Thread):
    """Serves one connection in an event loop of its own, and drains when it is told to."""

    def __init__(self, drainer: Drainer, backend: str) -> None:
        super().__init__()
        self.drainer = drainer
        self.backend = backend
        self.server = StrictServer()
        self.opened = threading.Event()
        self.go = threading.Event()
        self.drained: Drained | None = None

    def run(self) -> None:
        anyio.run(self.main, backend=self.backend)

    async def main(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            self.opened.set()
            await disconnected(receive)

        async with anyio.create_task_group() as group:
            group.start_soon(self.server.run, WebSocketGuardMiddleware(app, drainer=self.drainer))
            await anyio.to_thread.run_sync(self.go.wait, 60)
            self.drained = await self.drainer.drain()
            self.server.client_leaves()


@pytest.mark.anyio
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_drain_is_for_its_own_event_loop(backend: str) -> None:
    drainer = Drainer(grace=0, spread=0)
    other = Loop(drainer, backend)
    other.start()
    assert other.opened.wait(60)
    own = StrictServer()
    async with anyio.create_task_group() as group:
        group.start_soon(own.run, WebSocketGuardMiddleware(reads, drainer=drainer))
        while len(drainer.connections) < 2:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(RuntimeError, match="another event loop"):
            await drainer.connections[0].close()
        assert await drainer.drain() == figures(closed=1)
    assert (own.client.close_code, other.server.client.close_code) == (1012, None)
    other.go.set()
    await anyio.to_thread.run_sync(other.join)
    assert (other.server.client.close_code, other.drained) == (1012, figures(closed=1))
    assert (own.violations, other.server.violations) == ([], [])


@pytest.mark.anyio
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_resume_reaches_a_drain_in_another_event_loop_at_its_next_turn(backend: str) -> None:
    drainer = Drainer(grace=0.25, spread=0)
    other = Loop(drainer, backend)
    other.start()
    assert other.opened.wait(60)
    other.go.set()
    while not drainer.draining:
        await anyio.sleep(0.001)
    await anyio.to_thread.run_sync(drainer.resume)  # a thread without an event loop
    while other.drained is None:
        await anyio.sleep(0.001)
    assert other.drained == figures()
    assert other.server.client.close_code is None
    await anyio.to_thread.run_sync(other.join)


# Options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"grace": "10"}, TypeError),
        ({"grace": True}, TypeError),
        ({"grace": -1}, ValueError),
        ({"spread": [1]}, TypeError),
        ({"spread": float("inf")}, ValueError),
        ({"spread": float("nan")}, ValueError),
        ({"code": "1012"}, TypeError),
        ({"code": True}, TypeError),
        ({"code": 1006}, ValueError),
        ({"code": 5000}, ValueError),
        ({"reason": b"bye"}, TypeError),
        ({"reason": "é" * 62}, ValueError),
        ({"retry_after": 0.5}, TypeError),
        ({"retry_after": True}, TypeError),
        ({"retry_after": -1}, ValueError),
    ],
)
@in_virtual_time
async def test_wrong_options(options: dict[str, Any], error: type[Exception]) -> None:
    ((name, value),) = options.items()

    def says_so(caught: pytest.ExceptionInfo[Exception]) -> bool:
        return name in str(caught.value) and repr(value) in str(caught.value)

    with pytest.raises(error) as caught:
        Drainer(**options)
    assert says_so(caught)
    async with served() as serving:
        (server,) = await serving.serve(reads, Timed())
        if name != "retry_after":
            with pytest.raises(error) as caught:
                await serving.drainer.drain(**options)
            assert says_so(caught)
        if name in ("code", "reason"):
            with pytest.raises(error) as caught:
                await serving.drainer.connections[0].close(**options)
            assert says_so(caught)
        assert not serving.drainer.draining
        server.client_leaves()


def test_the_middleware_wants_a_drainer(anyio_backend: str) -> None:
    with pytest.raises(TypeError, match="drainer must be a Drainer, not 10"):
        WebSocketGuardMiddleware(reads, drainer=10)


# The log


@in_virtual_time
async def test_the_log(log: Log) -> None:
    async with served(Drainer(grace=1, spread=2), exit_timeout=5) as serving:
        await serving.serve(reads, Timed())
        await serving.serve(ends_after(0.5), Timed())
        await serving.serve(ends_after(30), Timed())
        await serving.drainer.drain()
        await serving.turned_away()
    first, *_, last = log.lines()
    assert first == "INFO [wsguard-D1] The drain begins: 3 connections have 1 s to end, and are then closed over 2 s."
    assert last == "INFO [wsguard-D4] The drain is over: 1 ended on their own, 1 were closed, 1 were cancelled."
    everyday = log.lines(logging.DEBUG)
    assert sum("he drainer closed the connection. The client was closed with 1012." in line for line in everyday) == 2
    assert everyday[-1] == (
        "DEBUG [wsguard-D1] '/ws': The app was not called because the drainer is draining. The client got status 503."
    )


@in_virtual_time
async def test_e1_the_reports() -> None:
    async def accepts(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        await disconnected(receive)

    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    async with served(Drainer(grace=1, spread=0, reason="bye"), observers=[observe]) as serving:
        await serving.serve(accepts, Timed(subprotocols=["chat"]))
        await serving.serve(lambda scope, receive, send: disconnected(receive), Timed())
        await serving.drainer.drain()
        await serving.turned_away()
    waiting, drained, new = reports
    for report in (waiting, new):
        assert (report.outcome, report.status, report.closed_by) == (Outcome.TURNED_AWAY, 503, "guard")
    assert (drained.outcome, drained.close_code, drained.close_reason) == (Outcome.DRAINED, 1012, "bye")
    assert (drained.closed_by, drained.open_for, drained.subprotocol) == ("guard", 1, "chat")


# The schedule


@pytest.mark.parametrize(("count", "spread"), [(0, 1.0), (1, 1.0), (7, 10.0), (1000, 0.5), (50, 0.0)])
def test_the_schedule(count: int, spread: float, anyio_backend: str) -> None:
    schedule = Schedule(range(count), 100.0, spread, Random(1))
    taken: list[int] = []
    while schedule.next < math.inf:
        now = schedule.next
        assert schedule.due(now - 1e-9) == [] or spread == 0  # none before its turn
        due = schedule.due(now)
        assert 0 < len(due) <= AT_ONCE
        for place in due:
            assert 100 + spread * place / count <= now <= 100 + spread * (place + 1) / count
        taken += due
    assert taken == list(range(count))


def test_the_schedule_takes_many_in_turns(anyio_backend: str) -> None:
    schedule = Schedule(range(50), 0.0, 1.0, Random(1))
    schedule.remove(0)
    schedule.remove(0)
    assert [len(schedule.due(1.0)) for _ in range(4)] == [20, 20, 9, 0]
