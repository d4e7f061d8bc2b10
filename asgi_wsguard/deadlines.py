"""When time runs out, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable
from typing import Any, Callable

import anyio

# Most servers take a message without waiting: then the task is done at once, and the loop never hears of it.
_EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}


async def shielded(timeout: float | None, call: Callable[[], Awaitable[None]]) -> bool:
    """Await `call()` to its end, whatever cancels the caller meanwhile.

    Args:
        timeout: seconds that it may take; `None` for as long as it takes.
        call: what to await. What it raises is raised here.

    Returns:
        Whether it ended in time.

    A cancellation that arrives meanwhile is raised when the call is done.
    """
    if anyio.get_cancelled_exc_class() is asyncio.CancelledError:
        return await _shielded_task(timeout, call)
    with anyio.move_on_after(timeout, shield=True):
        await call()
        return True
    return False


async def _shielded_task(timeout: float | None, call: Callable[[], Awaitable[None]]) -> bool:
    # anyio's shield holds against anyio's own scopes only; against Task.cancel(), which is what servers use, only a
    # task of its own helps.
    task = asyncio.Task(_awaiting(call), loop=asyncio.get_running_loop(), **_EAGER)
    cancelled = None if task.done() else await _wait(task, timeout)
    in_time = task.done()
    if not in_time:
        task.cancel()
    elif not task.cancelled() and task.exception() is not None:
        await task  # raises what the call raised, which weighs more than a cancellation
    if cancelled is not None:
        raise cancelled
    return in_time


async def _awaiting(call: Callable[[], Awaitable[None]]) -> None:
    await call()


async def _wait(task: asyncio.Task[None], timeout: float | None) -> asyncio.CancelledError | None:
    """Wait for the task; return the cancellation of the waiter that came meanwhile."""
    loop = asyncio.get_running_loop()
    ends = None if timeout is None else loop.time() + timeout
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError as exc:
        # A cancelled anyio scope cancels again in every turn of the loop, unless it is shielded.
        with anyio.CancelScope(shield=True):
            while not task.done():
                remaining = None if ends is None else ends - loop.time()
                if remaining is not None and remaining <= 0:
                    break
                with contextlib.suppress(asyncio.CancelledError):
                    await asyncio.wait({task}, timeout=remaining)
        return exc
    return None
