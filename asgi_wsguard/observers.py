"""Who is told what became of each connection."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from typing import Any, Callable

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

from .report import ConnectionReport
from .runtime import is_cancelled

logger = logging.getLogger("asgi_wsguard")

Observer = Callable[[ConnectionReport], object]

# How many threads of one event loop may be busy with observers. They are not those that the app's own threads come
# from, so that a slow observer does not hold up an endpoint.
THREADS = 4


class _Threads:
    """The threads of one event loop."""

    def __init__(self) -> None:
        self.turns = anyio.CapacityLimiter(THREADS)
        # The calls that run. anyio gives back the turn of one that it abandons, although its thread is busy still.
        self.calls: set[object] = set()


_threads: RunVar[_Threads] = RunVar("asgi_wsguard observers")


class Observers:
    """The observers of one middleware.

    Args:
        observers: callables that take a `ConnectionReport`. A plain function is called in a worker thread, as it may
            take its time; a coroutine function is awaited. One whose attribute ``waits`` is `False` is run where it is.

    Raises:
        TypeError: what is given is no iterable of callables.

    Attributes:
        any: whether there is one.
        any_to_await: whether there is one that may wait.
        count_open: whether one is to be told when a websocket is accepted.
    """

    __slots__ = ("_observers", "_openers", "_prompt", "any", "any_to_await", "count_open")

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        if not isinstance(observers, Iterable) or isinstance(observers, (str, bytes)):
            raise TypeError(f"observers must be a list of callables, not {observers!r}")
        every: list[Any] = list(observers)
        for observer in every:
            if not callable(observer):
                raise TypeError(f"observers must be callables, and {observer!r} is not")
        self._openers = [observer.opened for observer in every if hasattr(observer, "opened")]
        self._prompt = [observer for observer in every if not getattr(observer, "waits", True)]
        self._observers = [observer for observer in every if getattr(observer, "waits", True)]
        self.any = bool(every)
        self.any_to_await = bool(self._observers)
        self.count_open = bool(self._openers)

    def opened(self, route: str) -> None:
        """Tell those that count the open websockets that there is one more."""
        for opened in self._openers:
            try:
                opened(route)
            except Exception:
                _log_failure(opened)

    def tell_prompt(self, report: ConnectionReport) -> None:
        """Give the report to those that do not wait, and so need neither a task nor a time limit."""
        for observer in self._prompt:
            if not _told_at_once(observer, report):
                logger.error("[wsguard-E1] the observer %r has waits=False, but waits; it was cut short", observer)

    async def tell(self, report: ConnectionReport, timeout: float | None) -> None:
        """Give the report to every other observer; none can harm the connection, or another observer.

        Args:
            report: what became of the connection.
            timeout: seconds that each may take; `None` for as long as it takes.
        """
        for observer in self._observers:
            with anyio.move_on_after(timeout) as scope:
                try:
                    await _call(observer, report)
                except BaseException as exc:
                    if scope.cancel_called or _goes_on(exc):
                        raise
                    _log_failure(observer)
            if scope.cancelled_caught:
                logger.warning("[wsguard-E1] the observer %r took more than %s s; left to itself", observer, timeout)

    def tell_now(self, report: ConnectionReport) -> None:
        """Give the report to every other observer where nothing may be awaited: as far as it goes without."""
        for observer in self._observers:
            _told_at_once(observer, report)


def _goes_on(exc: BaseException) -> bool:
    """Tell whether what came out of an observer is meant for its caller too."""
    # A cancellation may be one of what the observer awaits, and not of the observer.
    return isinstance(exc, (GeneratorExit, KeyboardInterrupt)) or (
        isinstance(exc, anyio.get_cancelled_exc_class()) and is_cancelled()
    )


def _is_async(observer: Any) -> bool:
    return any(map(inspect.iscoroutinefunction, (observer, type(observer).__call__)))


async def _call(observer: Observer, report: ConnectionReport) -> None:
    told: Any = observer(report) if _is_async(observer) else await _call_in_thread(observer, report)
    if inspect.isawaitable(told):
        await told


async def _call_in_thread(observer: Observer, report: ConnectionReport) -> object:
    threads = _threads.get(None)
    if threads is None:
        threads = _Threads()
        _threads.set(threads)
    calls = threads.calls

    def call() -> list[object]:
        this = object()
        calls.add(this)
        try:
            return [observer(report)]  # in a list, as trio refuses a function that returns a coroutine
        finally:
            calls.discard(this)

    async with threads.turns:
        if len(calls) >= THREADS:
            logger.warning("[wsguard-E1] the observer %r is not called: %d calls hang already", observer, len(calls))
            return None
        own_turn = anyio.CapacityLimiter(1)
        (told,) = await anyio.to_thread.run_sync(call, abandon_on_cancel=True, limiter=own_turn)
    return told


def _told_at_once(observer: Observer, report: ConnectionReport) -> bool:
    """Run the observer up to where it waits; tell whether it came to its end."""
    try:
        told: Any = observer(report)
        if inspect.iscoroutine(told):
            try:
                told.send(None)
            except StopIteration:
                return True
            finally:
                told.close()
            return False
    except Exception:
        _log_failure(observer)
    return True


def _log_failure(observer: object) -> None:
    logger.exception("[wsguard-E1] the observer %r raised; the connection is not harmed", observer)
