"""The tasks of an app: the one it was called in, and those that it started, on asyncio and on trio."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Any, Callable, NamedTuple

import anyio.lowlevel

from asgi_wsguard import lines

# How many turns of the event loop a task has to end: those that it takes when it was cancelled, not those of a sleep.
TURNS = 50

# Every task begins with a copy of the context in which it was started, and so with this.
_owners: ContextVar[tuple[object, ...]] = ContextVar("asgi_wsguard.testing", default=())
# Before Python 3.12 a task shows its context to the garbage collector only.
_context_of: Callable[[Any], Context] = getattr(
    asyncio.Task,
    "get_context",
    lambda task: next((held for held in gc.get_referents(task) if isinstance(held, Context)), Context()),
)


class AppTask(NamedTuple):
    """A task that runs."""

    task: Any
    name: str
    coroutine: Any
    context: Context

    def where(self, *, anyone: bool = False) -> str:
        """Return the file and line where it waits, in the user's code; else, maybe, in anyone's."""
        return lines.of_waiting(self.coroutine, anyone=anyone)


@contextmanager
def claimed(owner: object) -> Iterator[None]:
    """Make the current task the owner's for a while, and for good what it starts in it."""
    before = _owners.get()
    _owners.set((*before, owner))
    try:
        yield
    finally:
        _owners.set(before)


def owned(owner: object) -> list[AppTask]:
    """Return the owner's tasks that run, in the order of their names."""
    running = (task for task in _running() if owner in task.context.get(_owners, ()))
    return sorted(running, key=lambda task: task.name)


async def left_behind(owner: object) -> list[AppTask]:
    """Return the owner's tasks that do not end by themselves."""
    for _ in range(TURNS):
        if not owned(owner):
            break
        await anyio.lowlevel.checkpoint()
    return owned(owner)


def cancel(tasks: list[AppTask]) -> None:
    """Cancel tasks. On trio a task cannot be cancelled from elsewhere."""
    for task in tasks:
        if isinstance(task.task, asyncio.Task):
            task.task.cancel()


def _running() -> Iterator[AppTask]:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # asyncio does not run in this thread
        return _running_on_trio()
    return (AppTask(task, _name(task), task.get_coro(), _context_of(task)) for task in tasks)


def _name(task: asyncio.Task[Any]) -> str:
    coroutine = task.get_coro()
    return f"{task.get_name()} ({getattr(coroutine, '__qualname__', coroutine)})"


def _running_on_trio() -> Iterator[AppTask]:
    from trio.lowlevel import current_root_task  # trio may not be installed

    tasks = [current_root_task()]
    for task in tasks:
        assert task is not None
        tasks += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
        yield AppTask(task, task.name, task.coro, task.context)
