"""The shared timers of an event loop: each in its own context variables, in order, whatever another one does."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextvars import ContextVar, copy_context
from math import inf
from typing import Any

import anyio
import pytest

from asgi_wsguard.runtime import runtime
from asgi_wsguard.runtime.timers import FEW, Timers
from harness.backends import on_asyncio
from harness.clock import in_virtual_time

name: ContextVar[str] = ContextVar("name", default="nobody's")


class Noting:
    """Notes in which context variables it is called."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[str] = []
        self._error = error

    def on_timer(self) -> None:
        self.calls.append(name.get())
        if self._error is not None:
            raise self._error


class Alarm:
    """Counts how often it is told that none is left."""

    calls = 0

    def emptied(self) -> None:
        self.calls += 1


def set_timer(timed: Noting, when: float, whose: str) -> Any:
    def in_its_context() -> Any:
        name.set(whose)
        return runtime().call_at(when, timed)

    return copy_context().run(in_its_context)


@in_virtual_time
async def test_each_timer_fires_at_its_time_in_the_context_it_was_set_in() -> None:
    late, early, cancelled = Noting(), Noting(), Noting()
    set_timer(late, 2, "the late one's")
    set_timer(early, 1, "the early one's")
    set_timer(cancelled, 1.5, "the cancelled one's").cancel()
    await anyio.sleep(1.7)
    assert (early.calls, late.calls) == (["the early one's"], [])
    await anyio.sleep(1)
    assert late.calls == ["the late one's"]
    assert cancelled.calls == []


@on_asyncio
@in_virtual_time
async def test_the_others_fire_whatever_one_of_them_raises() -> None:
    reported: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))
    error = RuntimeError("of a timer")
    failing, other = Noting(error), Noting()
    now = anyio.current_time()
    set_timer(failing, now, "")
    set_timer(other, now, "")
    await anyio.sleep(1)
    assert other.calls
    assert reported == [error]


def test_each_event_loop_has_timers_of_its_own() -> None:
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def timer(loop: asyncio.AbstractEventLoop) -> Any:
        return set_timer(Noting(), loop.time() + 1_000, "")

    one, other = (loop.run_until_complete(timer(loop)) for loop in (first, second))
    assert one._timers is not other._timers
    for loop in (first, second):
        loop.close()


def test_e7_a_cancelled_timer_holds_nothing() -> None:
    alarm = Alarm()
    timers, noting = Timers(alarm), Noting()
    timer = timers.add(1, noting)
    held = weakref.ref(noting)
    timer.cancel()
    timer.cancel()  # once more
    del noting
    gc.collect()
    assert held() is None
    assert alarm.calls == 1
    assert timers.due(0) is None
    assert timers.next == inf


def test_e7_cancelled_timers_are_removed_in_bulk() -> None:
    alarm = Alarm()
    timers = Timers(alarm)
    stays = timers.add(1_000, Noting())
    for when in range(10 * FEW):
        timers.add(when, Noting()).cancel()
        assert len(timers._heap) <= FEW + 3
    assert timers.due(999) is None
    assert timers.due(1_000) is stays


@pytest.mark.parametrize("fires", [False, True])
def test_e7_no_circle_of_references_keeps_the_event_loop(fires: bool) -> None:
    async def connection() -> Any:
        noting = Noting()
        timer = set_timer(noting, asyncio.get_running_loop().time(), "")
        while fires and not noting.calls:
            await asyncio.sleep(0)
        timer.cancel()
        return timer._timers._alarm

    gc.disable()
    try:
        assert asyncio.run(connection())() is None
    finally:
        gc.enable()
