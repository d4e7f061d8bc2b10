"""What the event loop does for one websocket, on asyncio and on trio, behind one interface."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine
from types import TracebackType
from typing import Any, Callable, Protocol

from .on_asyncio import AsyncioRuntime, cancelling
from .on_asyncio import starter as start_on_asyncio

Start = Callable[[Callable[[], Coroutine[Any, Any, None]]], object]


class Timer(Protocol):
    """A call to come."""

    def cancel(self) -> None:
        """Forget it."""


class Job(Protocol):
    """Something that runs beside the app."""

    def cancel(self) -> object:
        """Make it end."""


class Runtime(Protocol):
    """The task that runs the app of one websocket, and what runs beside it.

    As a context manager it is put around the app, and absorbs the cancellation that `cancel()` caused.
    """

    def now(self) -> float:
        """Return the time of the event loop, in seconds."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call back at that time."""

    def start(self, call: Callable[[], Coroutine[Any, Any, None]], over: Callable[[], None]) -> Job:
        """Await `call()` beside the app, which must not raise, and tell when it is over, be it cancelled."""

    async def finished(self, job: Any) -> None:
        """Wait for the end of a job."""

    async def shielded(self, timeout: float | None, call: Callable[[], Awaitable[None]]) -> bool:
        """Await `call()` to its end, whatever cancels the caller meanwhile.

        Args:
            timeout: seconds that it may take; `None` for as long as it takes.
            call: what to await. What it raises is raised here.

        Returns:
            Whether it ended in time.

        A cancellation that arrives meanwhile is raised when the call is done.
        """

    def cancel(self) -> None:
        """Cancel the app. It may be called again, for an app that goes on."""

    def coroutine(self) -> Any:
        """Return the coroutine of the app's task, to look at where it waits."""

    def caller(self) -> Any:
        """Return what `interrupt` needs to reach the caller of the next `interruptible` call."""

    def interruptible(self, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """Return the function as one whose call `interrupt` can end."""

    def abandonable(
        self, call: Callable[..., Awaitable[Any]], check: Callable[[], None]
    ) -> Callable[..., Awaitable[Any]]:
        """Return the function as one whose call `interrupt` can end, even if the function cannot be cancelled.

        Where the call does not begin at once, `check()` comes first, and may raise.
        """

    def interrupt(self, caller: Any) -> None:
        """End the call that the caller is in."""

    def interrupted(self, caller: Any, exc: BaseException) -> bool:
        """Tell whether the exception out of the call is what `interrupt` has caused, and nothing else."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool: ...


def runtime() -> Runtime:
    """Return the runtime for the app that the current task is about to call."""
    task = _task_of_asyncio()
    return _on_trio() if task is None else AsyncioRuntime(task)


def starter() -> Start:
    """Return what starts a coroutine function on this event loop, in a task of its own, which must not raise.

    It may be called in a signal handler. It raises `RuntimeError` when the event loop has ended.
    """
    task = _task_of_asyncio()
    return _start_on_trio() if task is None else start_on_asyncio(task.get_loop())


def is_cancelled() -> bool:
    """Tell whether a cancellation is the current task's own. On asyncio that is not known before Python 3.11."""
    task = _task_of_asyncio()
    return task is None or cancelling(task) > 0


def _task_of_asyncio() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # asyncio does not run in this thread
        return None


def _on_trio() -> Runtime:
    from .on_trio import TrioRuntime  # trio may not be installed

    return TrioRuntime()


def _start_on_trio() -> Start:
    from .on_trio import starter

    return starter()
