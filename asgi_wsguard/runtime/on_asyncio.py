"""The runtime on asyncio, including uvloop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio import current_task
from collections.abc import Awaitable, Coroutine
from contextvars import Context
from math import inf
from typing import Any, Callable
from weakref import ref

import anyio

from .timers import Timed, Timer, Timers

# Most servers take a message without waiting. An eager task is then done at once, and is never scheduled.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
# Marks the guard's own cancellations before Python 3.11, which counts the cancellations of a task.
MARK = "asgi_wsguard"
_COUNTED = hasattr(asyncio.Task, "uncancel")
cancelling: Callable[[Any], int] = getattr(asyncio.Task, "cancelling", lambda task: 0)
_uncancel: Callable[[Any], int] = getattr(asyncio.Task, "uncancel", lambda task: 0)


class AsyncioRuntime:
    """See `Runtime`. It calls `Task.cancel()` once, while anyio's scopes cancel in every iteration of the loop."""

    __slots__ = ("_before", "_cancels", "_interrupted", "_loop", "_task")

    caller = current_task = staticmethod(current_task)

    def __init__(self, task: asyncio.Task[Any]) -> None:
        self._task: Any = task
        self._loop = task.get_loop()
        self._cancels = 0
        self._before = cancelling(task)
        self._interrupted: dict[asyncio.Task[Any], int] | None = None

    def release(self) -> None:
        self._task = None

    def now(self) -> float:
        return self._loop.time()

    def call_at(self, when: float, timed: Timed) -> Timer:
        return _alarm_of(self._loop).call_at(when, timed)

    def start(self, call: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None]) -> asyncio.Task[None]:
        task = asyncio.Task(call(), loop=self._loop)  # whatever the loop's task factory is
        # If the event loop is discarded with the app's task in it, asyncio warns about that one, which is enough.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        task.add_done_callback(lambda _: over())
        return task

    async def finished(self, job: asyncio.Task[None]) -> None:
        await asyncio.wait({job})

    async def shielded(self, timeout: float | None, call: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        # anyio's shield holds against anyio's own scopes only. Servers use Task.cancel(), and only a separate task
        # survives that.
        task = asyncio.Task(call(), loop=self._loop, **_EAGER)
        cancelled = None if task.done() else await _wait(task, timeout)
        in_time = task.done()
        if not in_time:
            task.cancel()
        elif not task.cancelled() and task.exception() is not None:
            try:
                await task  # re-raises the exception of the call, which matters more than a cancellation
            finally:
                del task  # it holds the exception, which refers to this frame
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                del cancelled
        return in_time

    def cancel(self) -> None:
        self._cancels += 1
        self._task.cancel(MARK)

    def is_apps(self, task: Any) -> bool:
        return task is self._task

    def coroutine(self) -> Any:
        return self._task.get_coro()

    def interruptible(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        return call

    def abandonable(
        self, call: Callable[..., Awaitable[Any]], check: Callable[[], None]
    ) -> Callable[..., Awaitable[Any]]:
        return call

    def interrupt(self, caller: asyncio.Task[Any]) -> None:
        interrupted = self._interrupted or {}
        if caller not in interrupted:  # a second cancellation would be counted, and never uncounted
            self._interrupted = {**interrupted, caller: cancelling(caller)}
            caller.cancel(MARK)

    def interrupted(self, caller: asyncio.Task[Any], exc: BaseException) -> bool:
        before = self._interrupted.pop(caller, None) if self._interrupted else None
        if before is None or not _is_ours(exc) or _uncancel(caller) > before:
            return False
        # If a cancellation was pending when the caller was interrupted, it is that one which arrives now.
        return not before or exc.args == (MARK,)

    def enter(self) -> None:
        pass

    def leave(self, exc: BaseException | None) -> BaseException | None:
        if not self._cancels:
            return exc
        others = [_uncancel(self._task) for _ in range(self._cancels)][-1]
        return None if _is_ours(exc) and others <= self._before else exc


class _Alarm:
    """The timers of an event loop, by one timer of the loop's own, which is cancelled when none is left."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._timers = Timers(self)
        self._handle: asyncio.TimerHandle | None = None
        self._rings_at = inf
        self._will_look = False

    def call_at(self, when: float, timed: Timed) -> Timer:
        timer = self._timers.add(when, timed)
        if when < self._rings_at:
            self._set(when)
        return timer

    def emptied(self) -> None:
        # In the next iteration of the loop: until then the next connection may have set one, which saves half the work.
        if not self._will_look:
            self.loop.call_soon(self._look, context=Context())
            self._will_look = True  # after that, which raises if the loop is closed

    def _look(self) -> None:
        self._will_look = False
        if not self._timers.waiting:
            self._unset()

    def _set(self, when: float) -> None:
        self._unset()
        self._rings_at = when
        self._handle = self.loop.call_at(when, self._ring, context=Context())

    def _unset(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle, self._rings_at = None, inf

    def _ring(self) -> None:
        now = max(self._rings_at, self.loop.time())  # uvloop's timers may fire up to a millisecond early
        self._handle, self._rings_at = None, inf
        timer = self._timers.due(now)
        while timer is not None:
            # By the event loop, which reports what one of them raises, and goes on.
            self.loop.call_soon(timer.fire, context=timer.context)
            timer = self._timers.due(now)
        if self._timers.next != inf:
            self._set(self._timers.next)


# The one that was made last, as most processes have one event loop; another one only costs a timer more.
_latest: ref[_Alarm] | None = None


def _alarm_of(loop: asyncio.AbstractEventLoop) -> _Alarm:
    global _latest
    alarm = None if _latest is None else _latest()
    if alarm is None or alarm.loop is not loop:
        alarm = _Alarm(loop)
        _latest = ref(alarm)  # another thread, with another event loop, may look at it from now on
    return alarm


def starter(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], Coroutine[Any, Any, None]]], object]:
    """See `runtime.starter`."""
    tasks: set[asyncio.Task[None]] = set()  # the loop itself holds them weakly

    def start(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.Task(call(), loop=loop)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    return lambda call: loop.call_soon_threadsafe(start, call)


def _is_ours(exc: BaseException | None) -> bool:
    return type(exc) is asyncio.CancelledError and (_COUNTED or exc.args == (MARK,))


async def _wait(task: asyncio.Task[None], timeout: float | None) -> asyncio.CancelledError | None:
    """Wait for the task; return the cancellation of the waiter, if one arrived meanwhile."""
    loop = asyncio.get_running_loop()
    ends = None if timeout is None else loop.time() + timeout
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError as exc:
        # A cancelled anyio scope cancels in every iteration of the loop, unless it is shielded.
        with anyio.CancelScope(shield=True):
            while not task.done():
                remaining = None if ends is None else ends - loop.time()
                if remaining is not None and remaining <= 0:
                    break
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({task}, timeout=remaining)
        return exc
    return None
