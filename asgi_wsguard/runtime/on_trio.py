"""The runtime on trio."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Coroutine
from contextvars import copy_context
from typing import Any, Callable

import trio
from trio.lowlevel import RunVar, current_task, current_trio_token, spawn_system_task

from .timers import Timed, Timer, Timers

# Seconds until an app that ignores its cancellation is cancelled again.
PAUSE = 1.0
# For this many iterations of the event loop the cancellation reaches the app.
TURNS = 2


class Interrupted(BaseException):
    """A call was ended by `TrioRuntime.interrupt`."""


class TrioRuntime:
    """See `Runtime`.

    A cancelled trio scope cancels at every checkpoint, so an app that ignores the cancellation would spin. Therefore
    the app is in two scopes. The outer one is cancelled, and its cancellation reaches the app only in the moments when
    the inner one is not a shield.
    """

    __slots__ = ("_again", "_inner", "_outer", "_scope", "_task")

    def __init__(self) -> None:
        self._task: Any = current_task()
        self._outer = trio.CancelScope()
        self._inner = trio.CancelScope()
        self._scope = self._inner  # of the next interruptible call
        self._again: Timer | None = None

    def release(self) -> None:
        self._task = None

    def now(self) -> float:
        return trio.current_time()

    def call_at(self, when: float, timed: Timed) -> Timer:
        alarm = _alarm.get(None)
        if alarm is None:
            alarm = _Alarm()
            _alarm.set(alarm)
        return alarm.call_at(when, timed)

    def start(self, call: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None]) -> _Job:
        job = _Job(over)
        spawn_system_task(job.run, call, context=copy_context())
        return job

    async def finished(self, job: _Job) -> None:
        await job.over.wait()

    async def shielded(self, timeout: float | None, call: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        # In a task of its own, because hypercorn (0.18.0) and anycorn (0.20.1) shield their send() from cancellation.
        deadline = math.inf if timeout is None else trio.current_time() + timeout
        with trio.CancelScope(deadline=deadline, shield=True) as scope:
            await _in_own_task(self, call)
        return not scope.cancelled_caught

    def cancel(self) -> None:
        self._inner.shield = False
        self._outer.cancel()
        spawn_system_task(self._shield_again)
        if self._again is not None:
            self._again.cancel()
        self._again = self.call_at(self.now() + PAUSE, self)

    def on_timer(self) -> None:
        self.cancel()

    async def _shield_again(self) -> None:
        # Not at once: a task that is about to run gets the cancellation at its next checkpoint.
        for _ in range(TURNS):
            await trio.lowlevel.checkpoint()
        self._inner.shield = True

    def current_task(self) -> Any:
        return current_task()

    def is_apps(self, task: Any) -> bool:
        return task is self._task

    def coroutine(self) -> Any:
        return self._task.coro

    def caller(self) -> trio.CancelScope:
        self._scope = trio.CancelScope()
        return self._scope

    def interruptible(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def in_scope(*args: Any) -> Any:
            with self._scope:
                return await call(*args)
            raise Interrupted

        return in_scope

    def abandonable(
        self, call: Callable[..., Awaitable[Any]], check: Callable[[], None]
    ) -> Callable[..., Awaitable[Any]]:
        async def checked(*args: Any) -> None:
            check()
            await call(*args)

        async def in_scope(*args: Any) -> None:
            with self._scope as scope:
                return await _in_own_task(self, checked, *args, waits=scope)
            raise Interrupted

        return in_scope

    def interrupt(self, caller: trio.CancelScope) -> None:
        caller.cancel()

    def interrupted(self, caller: trio.CancelScope, exc: BaseException) -> bool:
        return isinstance(exc, Interrupted)

    def enter(self) -> None:
        self._outer.__enter__()
        self._inner.__enter__()

    def leave(self, exc: BaseException | None) -> BaseException | None:
        if self._again is not None:
            self._again.cancel()
        if type(exc) is GeneratorExit:
            return exc  # the coroutine is being discarded, and trio may have stopped
        # The traceback is left out: trio does not look at it, and a hostile exception may raise when it is asked.
        kind = None if exc is None else type(exc)
        self._inner.__exit__(kind, exc, None)
        try:
            return None if self._outer.__exit__(kind, exc, None) else exc
        except BaseException as rest:  # of a group
            return rest


def starter() -> Callable[[Callable[[], Coroutine[Any, Any, None]]], object]:
    """See `runtime.starter`."""
    token = current_trio_token()
    return lambda call: token.run_sync_soon(lambda: spawn_system_task(call))


class _Job:
    def __init__(self, over: Callable[[], None]) -> None:
        self._scope = trio.CancelScope()
        self._on_end = over
        self.over = trio.Event()

    async def run(self, call: Callable[[], Awaitable[None]]) -> None:
        with self._scope:
            await call()
        self.over.set()
        self._on_end()

    def cancel(self) -> None:
        self._scope.cancel()


async def _in_own_task(
    runtime: TrioRuntime, call: Callable[..., Awaitable[None]], *args: Any, waits: trio.CancelScope | None = None
) -> None:
    """Await the call in a task that is abandoned when this one is cancelled.

    With `waits`, it is abandoned only when that scope is cancelled. Any other cancellation reaches the call as if this
    task awaited it: hypercorn's send() (0.18.0) ends regardless, so that an app can close in its `finally`, and go on.
    """
    ended: list[BaseException | None] = []

    async def run() -> None:
        try:
            await call(*args)
        except trio.Cancelled:
            raise
        except BaseException as exc:  # a system task that raised would end the whole run
            ended.append(exc)
        else:
            ended.append(None)

    job = runtime.start(run, lambda: None)
    try:
        await job.over.wait()
    except trio.Cancelled:
        if waits is None or waits.cancel_called:
            raise
        job.cancel()
        waits.shield = True
        await job.over.wait()
        if not ended:
            raise
    finally:
        job.cancel()
    raised = ended.pop()
    if raised is not None:
        try:
            raise raised
        finally:
            del raised  # its traceback refers to this frame


class _Alarm:
    """The timers of an event loop, by one system task for all, which ends when none is left."""

    def __init__(self) -> None:
        self._timers = Timers(self)
        self._sleep = trio.CancelScope()
        spawn_system_task(self._run)

    def call_at(self, when: float, timed: Timed) -> Timer:
        timer = self._timers.add(when, timed)
        self._sleep.deadline = self._timers.next
        return timer

    def emptied(self) -> None:
        self._sleep.deadline = -math.inf

    async def _run(self) -> None:
        while True:
            with self._sleep:
                await trio.sleep_forever()
            now = trio.current_time()
            timer = self._timers.due(now)
            while timer is not None:
                assert timer.context is not None
                timer.context.run(timer.fire)
                timer = self._timers.due(now)
            if not self._timers.waiting:
                _alarm.set(None)
                return
            self._sleep = trio.CancelScope(deadline=self._timers.next)


_alarm: RunVar[_Alarm | None] = RunVar("asgi_wsguard")
