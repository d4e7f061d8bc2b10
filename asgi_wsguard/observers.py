"""The observers, which receive the report of each connection."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterable
from logging import ERROR, WARNING
from typing import Any, Callable

import anyio

from .arguments import check_observers
from .report import ConnectionReport
from .report.log import safe_log
from .runtime import is_cancelled

Observer = Callable[[ConnectionReport], object]
Pending = list[tuple[Observer, Any]]


class Observers:
    """The observers of one middleware, checked; see `WebSocketGuardMiddleware`."""

    def __init__(self, observers: Iterable[Observer] = ()) -> None:
        self.every = check_observers(observers)
        self.count_open = any(hasattr(observer, "opened") for observer in self.every)

    def count(self, hook: str, *args: object) -> None:
        """Call this method of every observer that has it: ``opened(route)``, ``outlive(route, change)``."""
        for observer in self.every:
            _call(observer, getattr(observer, hook, None), *args)

    def tell(self, report: ConnectionReport) -> Pending:
        """Call every observer, and return the results that are still to be awaited."""
        told = [(observer, _call(observer, observer, report)) for observer in self.every]
        return [(observer, result) for observer, result in told if result is not None and inspect.isawaitable(result)]


async def finish(pending: Pending, timeout: float | None) -> None:
    """Await the observers, each for at most `timeout` seconds. None can harm the connection or another observer."""
    for observer, told in pending:
        with anyio.move_on_after(timeout) as scope:
            try:
                await told
            except BaseException as exc:
                # The cancellation may come from something that the observer awaits.
                cancelled = isinstance(exc, anyio.get_cancelled_exc_class()) and (scope.cancel_called or is_cancelled())
                if cancelled or isinstance(exc, (GeneratorExit, KeyboardInterrupt)):
                    raise
                _log_failure(observer)
        if scope.cancelled_caught:
            safe_log(WARNING, "[wsguard-E1] The observer %r took more than %s s and was cancelled.", observer, timeout)


def abandon(pending: Pending) -> None:
    """Run each observer up to its first wait, because nothing may be awaited any more."""
    for observer, told in pending:
        if inspect.iscoroutine(told):
            _call(observer, _step, told)


def _step(coroutine: Any) -> None:
    with contextlib.suppress(StopIteration), contextlib.closing(coroutine):
        coroutine.send(None)


def _call(observer: object, call: Callable[..., object] | None, *args: object) -> object:
    try:
        return None if call is None else call(*args)
    except KeyboardInterrupt:
        raise
    except BaseException:
        _log_failure(observer)
        return None


def _log_failure(observer: object) -> None:
    safe_log(ERROR, "[wsguard-E1] The observer %r raised. The connection is not affected.", observer, exc_info=True)
