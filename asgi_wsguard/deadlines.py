"""When time runs out, on asyncio and on trio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Callable

import anyio


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
    loop = asyncio.get_running_loop()
    task = loop.create_task(_awaiting(call))
    ends = None if timeout is None else loop.time() + timeout
    cancelled: asyncio.CancelledError | None = None
    try:
        await asyncio.wait({task}, timeout=timeout)
    except asyncio.CancelledError as exc:
        cancelled = exc
        # A cancelled anyio scope cancels again in every turn of the loop, unless it is shielded.
        with anyio.CancelScope(shield=True):
            await _wait(task, ends)
    in_time = task.done()
    if not in_time:
        task.cancel()
    elif not task.cancelled():
        failure = task.exception()
        if failure is not None:
            raise failure
    if cancelled is not None:
        raise cancelled
    return in_time


async def _awaiting(call: Callable[[], Awaitable[None]]) -> None:
    await call()


async def _wait(task: asyncio.Task[None], ends: float | None) -> None:
    loop = asyncio.get_running_loop()
    while not task.done():
        remaining = None if ends is None else ends - loop.time()
        if remaining is not None and remaining <= 0:
            return
        try:
            await asyncio.wait({task}, timeout=remaining)
        except asyncio.CancelledError:
            continue
