"""Tasks, timers and cancellation for one websocket, on asyncio and on trio, behind one interface."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Coroutine
from types import CodeType, FrameType
from typing import Any, Callable, Protocol

from .on_asyncio import AsyncioRuntime, cancelling
from .on_asyncio import starter as start_on_asyncio
from .timers import Timed, Timer

# Packages whose frames may be between the start of a task and the function that it was made for.
EVENT_LOOPS = frozenset({"asyncio", "anyio", "trio"})

Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]


class Job(Protocol):
    """A task that runs beside the app."""

    def cancel(self) -> object:
        """Cancel the task."""


class Runtime(Protocol):
    """The task that runs the app of one websocket, and the tasks beside it."""

    def enter(self) -> None:
        """Note that the app is about to be called."""

    def leave(self, exc: BaseException | None) -> BaseException | None:
        """Return what the app has raised, without the cancellation that `cancel()` caused."""

    def release(self) -> None:
        """Let go of the app's task: it may hold an exception, which refers to frames, and so to this."""

    def now(self) -> float:
        """Return the time of the event loop, in seconds."""

    def call_at(self, when: float, timed: Timed) -> Timer:
        """Call `timed.on_timer()` at this time."""

    def start(self, call: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None]) -> Job:
        """Await `call()` beside the app, which must not raise, and tell when it is over, be it cancelled."""

    async def finished(self, job: Any) -> None:
        """Wait until a job has ended."""

    async def shielded(self, timeout: float | None, call: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Await `call()` to its end, even if the caller is cancelled meanwhile.

        Args:
            timeout: seconds that it may take; `None` for no limit.
            call: the coroutine function to call. Its exceptions are raised here.

        Returns:
            Whether it ended in time.

        A cancellation that arrives meanwhile is raised when the call is done.
        """

    def cancel(self) -> None:
        """Cancel the app. It may be called again, for an app that keeps running."""

    def current_task(self) -> Any:
        """Return the task that runs now."""

    def is_apps(self, task: Any) -> bool:
        """Return whether this task runs the app."""

    def coroutine(self) -> Any:
        """Return the coroutine of the app's task, to find where it waits."""

    def caller(self) -> Any:
        """Return the key by which `interrupt` finds the caller of the next `interruptible` call."""

    def interruptible(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return a function that does the same, and whose calls `interrupt` can end."""

    def abandonable(
        self, call: Callable[..., Awaitable[Any]], check: Callable[[], None]
    ) -> Callable[..., Awaitable[Any]]:
        """Return a function that does the same, and whose calls `interrupt` can end even if they cannot be cancelled.

        If the call does not begin at once, `check()` is called first, and may raise.
        """

    def interrupt(self, caller: Any) -> None:
        """End the call that the caller is in."""

    def interrupted(self, caller: Any, exc: BaseException) -> bool:
        """Return whether the exception out of the call is what `interrupt` has caused, and nothing else."""


def runtime() -> Runtime:
    """Return the runtime for the app that the current task is about to call."""
    task = _task_of_asyncio()
    return _on_trio() if task is None else AsyncioRuntime(task)


def starter() -> Start:
    """Return a function that starts a coroutine function in a task on this event loop. The task must not raise.

    The function may be called in a signal handler. It raises `RuntimeError` if the event loop has ended.
    """
    task = _task_of_asyncio()
    return _start_on_trio() if task is None else start_on_asyncio(task.get_loop())


def current_loop() -> object:
    """Return the event loop that runs in this thread, also to a callback, for which anyio finds none; else `None`."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return _loop_of_trio()


def is_single_call(code: CodeType) -> bool:
    """Return whether the current task was made only for the current call of this function."""
    task = _task_of_asyncio()
    coroutine: Any = _task_of_trio().coro if task is None else task.get_coro()
    root = getattr(coroutine, "cr_frame", None)
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not code:
        frame = frame.f_back
    while frame is not None and frame is not root:
        frame = frame.f_back
        if frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] not in EVENT_LOOPS:
            return False
    return frame is not None


def is_cancelled() -> bool:
    """Return whether a cancellation is the current task's own. On asyncio that is not known before Python 3.11."""
    task = _task_of_asyncio()
    return task is None or cancelling(task) > 0


def _task_of_asyncio() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # asyncio does not run in this thread
        return None


def _task_of_trio() -> Any:
    from trio.lowlevel import current_task  # trio may not be installed

    return current_task()


def _loop_of_trio() -> object:
    trio = sys.modules.get("trio")
    try:
        return None if trio is None else trio.lowlevel.current_trio_token()
    except RuntimeError:  # trio does not run in this thread
        return None


def _on_trio() -> Runtime:
    from .on_trio import TrioRuntime  # trio may not be installed

    return TrioRuntime()


def _start_on_trio() -> Start:
    from .on_trio import starter

    return starter()
