"""Where a connection is, apart from all that shares it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

import anyio
import pytest

from asgi_wsguard import DenialResponse, WebSocketGuardMiddleware
from asgi_wsguard.connection.tracker import Tracker
from asgi_wsguard.options import Limits
from asgi_wsguard.rules.deadlines import Deadlines
from asgi_wsguard.rules.lifecycle import Lifecycle, Policy
from asgi_wsguard.runtime import runtime
from asgi_wsguard.runtime.timers import Timer
from harness.backends import in_memory, on_asyncio
from harness.clock import in_virtual_time
from harness.kinds import KINDS, serve
from harness.timed import Timed


def tracker() -> Tracker:
    using = runtime()
    return Tracker(
        Lifecycle((), can_deny=True, policy=Policy(DenialResponse())), Deadlines(Limits(), using.now()), using
    )


@pytest.mark.parametrize(
    "tell", [Tracker.app_knows, Tracker.app_uses, Tracker.server_stops, lambda one: one.drained(1)]
)
@in_memory
async def test_o16_what_is_told_before_the_end_starts_no_clock(tell: Callable[[Tracker], None]) -> None:
    """A message may come to a task that has outlived the app, when nothing keeps the time any more."""
    one = tracker()
    one.stop()
    tell(one)
    assert one.deadlines.after_end is None


@on_asyncio
@in_memory
async def test_who_is_interrupted_twice_is_cancelled_once() -> None:
    async def call() -> BaseException:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as exc:
            return exc
        raise AssertionError

    using = runtime()
    caller = asyncio.ensure_future(call())
    await asyncio.sleep(0)
    using.interrupt(caller)
    using.interrupt(caller)
    exc = await caller
    assert using.interrupted(caller, exc)
    assert not using.interrupted(caller, exc)


@in_virtual_time
async def test_timers_that_never_come_do_not_pile_up() -> None:
    """While one connection is open, so that there is always something to wait for."""

    def timers() -> int:
        return sum(type(one) in (asyncio.TimerHandle, Timer) for one in gc.get_objects())

    kind = KINDS["echoes"]
    guarded = WebSocketGuardMiddleware(kind.app, max_lifetime=24 * 60 * 60)
    stays = Timed()
    async with anyio.create_task_group() as group:
        group.start_soon(stays.serve, guarded)
        before = timers()
        for _ in range(10):
            await serve(kind, guarded, [kind.server() for _ in range(200)])
        assert timers() - before < 1_000
        stays.client_leaves()
