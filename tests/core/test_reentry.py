"""Observers that use the drainer of their own connection, and what else of an observer could hold up a drain."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asgi_wsguard import ConnectionReport, Drained, Drainer
from harness.backends import on_asyncio
from harness.clock import in_virtual_time
from harness.drained import figures, reads, served
from harness.messages import Receive, Send
from harness.reports import Reports
from harness.timed import Timed

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

if TYPE_CHECKING:
    from collections.abc import Callable

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup

GRACE, SPREAD, EXIT = 1.0, 1.0, 10.0
MOST = GRACE + SPREAD + EXIT + 2
"""Seconds that a drain takes: it looks once a second at what is left."""


def short() -> Drainer:
    return Drainer(grace=GRACE, spread=SPREAD, exit_timeout=EXIT)


# An observer that awaits the drain holds up its own connection, and so the drain.


@in_virtual_time
async def test_an_observer_that_awaits_the_drain_has_the_time_of_any_observer() -> None:
    drainer, reports = short(), Reports()

    async def drains(report: ConnectionReport) -> None:
        await drainer.drain()

    async with served(drainer, observers=[drains, reports]) as serving:
        first, second = await serving.serve(reads, Timed(), Timed())
        first.client_leaves()
    assert first.ended_at == 5
    assert GRACE + 5 <= second.ended_at <= GRACE + SPREAD + 5
    assert second.client.close_code == 1012
    assert len(reports) == 2


@on_asyncio
@in_virtual_time
async def test_a_drain_in_a_task_of_its_own_is_not_cancelled() -> None:
    """As in the docs."""
    drainer = short()
    tasks: list[asyncio.Task[Drained]] = []

    def drains(report: ConnectionReport) -> None:
        if not drainer.draining:
            tasks.append(asyncio.ensure_future(drainer.drain()))

    async with served(drainer, observers=[drains]) as serving:
        first, second = await serving.serve(reads, Timed(), Timed())
        first.client_leaves()
    assert first.ended_at == 0
    assert GRACE <= second.ended_at <= GRACE + SPREAD
    assert [await task for task in tasks] == [figures(closed=1)]


@pytest.mark.parametrize("clients", [1, 3])
@in_virtual_time
async def test_without_a_limit_the_drain_does_not_wait_for_itself(clients: int) -> None:
    drainer = short()
    drained: list[Drained] = []

    async def drains(report: ConnectionReport) -> None:
        drained.append(await drainer.drain())

    async with served(drainer, observers=[drains], close_timeout=None) as serving:
        servers = await serving.serve(reads, *[Timed() for _ in range(clients)])
        servers[0].client_leaves()
    assert [server.client.close_code for server in servers[1:]] == [1012] * (clients - 1)
    assert drained == [figures(ended=1, closed=clients - 1)] * clients
    assert max(server.ended_at for server in servers) <= MOST


@in_virtual_time
async def test_an_observer_that_hangs_does_not_hold_up_the_drain() -> None:
    free = anyio.Event()

    async def hangs(report: ConnectionReport) -> None:
        await free.wait()

    async with served(short(), observers=[hangs], close_timeout=None) as serving:
        await serving.serve(reads, Timed())
        assert await serving.drainer.drain() == figures(closed=1)
        assert GRACE + EXIT <= anyio.current_time() <= MOST
        free.set()


@in_virtual_time
async def test_a_server_that_takes_no_close_does_not_hold_up_the_drain() -> None:
    free = anyio.Event()

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == "websocket.close":
                await free.wait()

    async with served(short(), close_timeout=None) as serving:
        await serving.serve(reads, Slow())
        assert await serving.drainer.drain() == figures(closed=1)
        assert GRACE + EXIT <= anyio.current_time() <= MOST
        free.set()


# What an observer may do in its own time


class Uses:
    """Calls what there is of the drainer from each of an observer's methods."""

    def __init__(self, *calls: Callable[[Drainer], object]) -> None:
        self.drainer = short()
        self.calls = calls
        self.called: list[str] = []

    def opened(self, route: str) -> None:
        self._use("opened")

    def outlive(self, route: str, change: int) -> None:
        self._use("outlive")

    def __call__(self, report: ConnectionReport) -> None:
        self._use("report")

    def _use(self, what: str) -> None:
        for call in self.calls:
            call(self.drainer)
        self.called.append(what)


def lists(drainer: Drainer) -> None:
    assert all(connection.path == "/ws" for connection in drainer.connections)


async def outlives(scope: Any, receive: Receive, send: Send) -> None:
    """Clean up for longer than `exit_timeout`."""
    await reads(scope, receive, send)
    await anyio.sleep(20)


@in_virtual_time
async def test_each_method_may_list_what_is_open() -> None:
    uses = Uses(lists)
    async with served(uses.drainer, observers=[uses], exit_timeout=5) as serving:
        (server,) = await serving.serve(outlives, Timed())
        server.client_leaves()
    assert uses.called == ["opened", "outlive", "outlive", "report"]


@in_virtual_time
async def test_each_method_may_resume() -> None:
    uses = Uses(lists, Drainer.resume)
    async with served(uses.drainer, observers=[uses], exit_timeout=5) as serving:
        servers = await serving.serve(outlives, *[Timed() for _ in range(3)])
        servers[0].client_leaves()
        await serving.drainer.drain(grace=10)  # until the first is said to outlive its client
        assert not serving.drainer.draining
        assert anyio.current_time() == pytest.approx(5, abs=1)
        for server in servers[1:]:
            server.client_leaves()
    assert Counter(uses.called) == {"opened": 3, "outlive": 6, "report": 3}


@on_asyncio
@in_virtual_time
async def test_a_callback_of_the_event_loop_may_resume() -> None:
    """It is no task, and so anyio does not know where it is called."""
    async with served(short()) as serving:
        (server,) = await serving.serve(reads, Timed())
        asyncio.get_running_loop().call_later(1, serving.drainer.resume)
        await serving.drainer.drain(grace=10)
        assert anyio.current_time() == pytest.approx(1, abs=0.01)
        server.client_leaves()


@in_virtual_time
async def test_a_drain_may_begin_at_an_accept() -> None:
    waiting: list[Any] = []
    uses = Uses(lists, lambda drainer: waiting or waiting.append(serving.soon(drainer.drain)))
    async with served(uses.drainer, observers=[uses]) as serving:
        servers = await serving.serve(reads, *[Timed() for _ in range(3)])
    assert servers[0].client.close_code == 1012
    assert [server.client.denial is not None for server in servers] == [False, True, True]
    assert waiting[0].result == figures(closed=1)


class Own(BaseException):
    """What no framework knows."""


ERRORS = {
    "own": Own,
    "exit": partial(SystemExit, 3),
    "group": partial(BaseExceptionGroup, "several", [Own()]),
    "cancelled": asyncio.CancelledError,
}


@pytest.mark.parametrize("error", ERRORS.values(), ids=ERRORS)
@in_virtual_time
async def test_no_exception_of_an_observer_holds_up_the_drain(error: Callable[[], BaseException]) -> None:
    def raises(drainer: Drainer) -> None:
        raise error()

    async def raises_later(report: ConnectionReport) -> None:
        await anyio.sleep(1)
        raise error()

    uses, reports = Uses(raises), Reports()
    async with served(uses.drainer, observers=[uses, raises_later, reports]) as serving:
        servers = await serving.serve(reads, *[Timed() for _ in range(3)])
        assert await serving.drainer.drain() == figures(closed=3)
    assert [server.client.close_code for server in servers] == [1012] * 3
    assert [server.error for server in servers] == [None] * 3
    assert len(reports) == 3
