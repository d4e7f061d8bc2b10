"""Virtual time: the clock jumps to the next timer as soon as nothing else is left to do.

On asyncio this is a special event loop, on trio it is trio's own clock. uvloop has no such thing. At the end, each run
checks that it leaves nothing behind: no task, no timer, no unhandled error.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import selectors
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any, Protocol

import anyio
import anyio.lowlevel
import anyio.to_thread
import trio
import trio.testing

# Seconds. A test that takes longer would hang.
FOR_EVER = 3600.0
# After this many steps without a pause, a task counts as spinning, and time passes. It may be the app, or an older
# anyio, which spins while a task in a cancelled scope is shielded.
BUSY = 1000


class World(Protocol):
    """One run of an event loop."""

    steps: int  # iterations of asyncio's loop, steps of trio's tasks

    def run(self, main: Callable[[], Awaitable[None]]) -> None: ...

    def leftovers(self) -> list[Any]:
        """Return the tasks and timers that were not there when the run began."""

    def hold(self, delta: int) -> None:
        """Stop time, and wait for threads, while the sum of all deltas is not 0."""

    # On trio this is trio's own function, because anyio 4.0 does not support newer releases of trio.
    in_thread: Callable[[Callable[[], object]], Awaitable[object]]


_world: ContextVar[World] = ContextVar("world")


def run(backend: str, test: Callable[..., Awaitable[None]], *args: Any, **kwargs: Any) -> None:
    """Await `test(...)` in virtual time that begins at 0, on "asyncio" or "trio"."""
    world: World = {"asyncio": Asyncio, "trio": Trio}[backend]()

    async def main() -> None:
        _world.set(world)
        with anyio.fail_after(FOR_EVER):
            await test(*args, **kwargs)
        for _ in range(3):  # a task that was just cancelled may end
            await anyio.lowlevel.checkpoint()
        assert world.leftovers() == []

    world.run(main)


def in_virtual_time(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Make a test for pytest of an async one; it runs on each `anyio_backend`."""

    takes = list(inspect.signature(test).parameters)

    @functools.wraps(test)
    def wrapper(**kwargs: Any) -> None:
        run(kwargs["anyio_backend"], test, **{name: kwargs[name] for name in takes})

    names = takes if "anyio_backend" in takes else [*takes, "anyio_backend"]
    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return wrapper


def steps() -> int:
    """Return how many steps the event loop has done so far."""
    return _world.get().steps


class Thread:
    """A worker thread that waits until it is released. Time passes meanwhile, then stops until the thread has ended."""

    def __init__(self) -> None:
        self._go = threading.Event()
        self._waiting = self._held = False

    async def wait(self) -> None:
        """Wait in the thread."""
        self._waiting = True
        try:
            await _world.get().in_thread(lambda: self._go.wait(60))  # so that a failing test ends
        finally:
            self._go.set()
            self._waiting = False
            if self._held:
                _world.get().hold(-1)

    def let_go(self) -> None:
        """Let the thread end."""
        if self._waiting and not self._held:
            self._held = True
            _world.get().hold(1)
        self._go.set()


class Asyncio:
    """See `World`."""

    in_thread = staticmethod(anyio.to_thread.run_sync)

    def __init__(self) -> None:
        self._loop = VirtualLoop()
        self._unheard: list[Any] = []
        self._loop.set_exception_handler(lambda loop, context: self._unheard.append(context))
        self._threads = threading.enumerate()

    @property
    def steps(self) -> int:
        return self._loop.turns

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(main())
            assert self._unheard == []
        finally:
            self._end()
            asyncio.set_event_loop(None)
            self._loop.close()

    def _end(self) -> None:
        """End what a failing test leaves behind."""
        for _ in range(100):
            left = asyncio.all_tasks(self._loop)
            if not left:
                break
            for task in left:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(left, timeout=1))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        for thread in threading.enumerate():
            if thread not in self._threads:
                thread.join()

    def leftovers(self) -> list[Any]:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        # Without what is about to run: a worker thread may report its end at any time.
        timers = self._loop._scheduled  # type: ignore[attr-defined]
        return tasks + [timer for timer in timers if not timer.cancelled()]

    def hold(self, delta: int) -> None:
        self._loop.held += delta


class VirtualLoop(asyncio.SelectorEventLoop):
    """An asyncio event loop that never sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = self.held = 0
        super().__init__(_Selector(self))

    def time(self) -> float:
        return self.now

    def jump(self) -> None:
        if self._scheduled:  # type: ignore[attr-defined]
            self.now = max(self.now, self._scheduled[0].when())  # type: ignore[attr-defined]


class _Selector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop
        self._busy = 0

    def select(self, timeout: float | None = None) -> Any:
        self._loop.turns += 1
        if timeout is None or (timeout and self._loop.held):
            return super().select()  # only a thread can make progress now
        ready = super().select(0)
        self._busy += 1
        if (timeout and not ready) or self._busy > BUSY:
            self._busy = 0
            self._loop.jump()
        return ready


class Trio(trio.abc.Instrument):
    """See `World`."""

    in_thread = staticmethod(trio.to_thread.run_sync)

    def __init__(self) -> None:
        self.steps = self._held = self._busy = 0
        self._now = 0.0
        self._clock = trio.testing.MockClock(autojump_threshold=0)
        self._before: set[trio.lowlevel.Task] = set()

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        async def counted() -> None:
            self._before = set(_tasks())
            await main()

        trio.run(counted, clock=self._clock, instruments=[self])

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        self.steps += 1
        now = self._clock.current_time()
        self._busy = self._busy + 1 if now == self._now else 0
        self._now = now
        if self._busy > BUSY:
            self._clock.jump(max(0, min(trio.lowlevel.current_statistics().seconds_to_next_deadline, 1)))

    def leftovers(self) -> list[Any]:
        seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
        timers = [] if math.isinf(seconds) else [f"a timer in {seconds} s"]
        return [task for task in _tasks() if task not in self._before] + timers

    def hold(self, delta: int) -> None:
        self._held += delta
        self._clock.autojump_threshold = math.inf if self._held else 0


def _tasks() -> Iterator[trio.lowlevel.Task]:
    found = [trio.lowlevel.current_root_task()]
    for task in found:
        assert task is not None
        yield task
        found += [child for nursery in task.child_nurseries for child in nursery.child_tasks]
