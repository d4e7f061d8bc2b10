"""The tasks of an app, on asyncio and on trio: the one that it was called in, and all that it started."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from typing import Any, Callable, NamedTuple

import anyio.lowlevel

from asgi_wsguard.report import lines

# The iterations of the event loop that a task has to end: enough for a cancelled task, too few for one that sleeps.
TURNS = 50

# A task starts with a copy of the context in which it was started, and so with this variable.
_owners: ContextVar[tuple[object, ...]] = ContextVar("asgi_wsguard.testing", default=())
# Before Python 3.12 a task reveals its context only to the garbage collector.
context_of: Callable[[Any], Context] = getattr(
    asyncio.Task,
    "get_context",
    lambda task: next((held for held in gc.get_referents(task) if isinstance(held, Context)), Context()),
)


class AppTask(NamedTuple):
    """A running task."""

    task: Any
    name: str
    coroutine: Any
    context: Context

    @property
    def is_a_packages(self) -> bool:
        """Whether it is an installed package's own task, such as a timer of ariadne or python-socketio."""
        code = getattr(self.coroutine, "cr_code", None)
        return code is not None and not lines.PACKAGES.isdisjoint(code.co_filename.split(os.sep)) and not self.where()

    def where(self, *, anyone: bool = False) -> str:
        """Return the file and line where it waits, in the user's code if possible."""
        return lines.of_waiting(self.coroutine, anyone=anyone)


@contextmanager
def claimed(owner: object) -> Iterator[None]:
    """Attribute the current task to the owner during the block, and the tasks started in it permanently."""
    before = _owners.get()
    _owners.set((*before, owner))
    try:
        yield
    finally:
        _owners.set(before)


def owned(owner: object) -> list[AppTask]:
    """Return the owner's running tasks, sorted by name."""
    own = (task for task in running() if owner in task.context.get(_owners, ()))
    return sorted(own, key=lambda task: task.name)


async def left_behind(owner: object) -> list[AppTask]:
    """Return the owner's tasks that do not end on their own."""
    for _ in range(TURNS):
        if not owned(owner):
            break
        await anyio.lowlevel.checkpoint()
    return owned(owner)


def cancel(tasks: list[AppTask]) -> None:
    """Cancel tasks. Does nothing on trio, where a task cannot be cancelled from outside."""
    for task in tasks:
        if isinstance(task.task, asyncio.Task):
            task.task.cancel()


def running() -> Iterator[AppTask]:
    """Return all tasks of this event loop."""
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # asyncio does not run in this thread
        return _running_on_trio()
    return (AppTask(task, _name(task), task.get_coro(), context_of(task)) for task in tasks)


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
