"""Timers that share one timer of the event loop, which has several objects, and memory of the loop's own, for each."""

from __future__ import annotations

import heapq
from contextvars import Context, copy_context
from math import inf
from typing import Protocol
from weakref import ref

# This many cancelled timers may stay in the heap.
FEW = 100


class Timed(Protocol):
    """Something to do at a time."""

    def on_timer(self) -> None:
        """Do what is due."""


class Alarm(Protocol):
    """The timer of the event loop that the others share."""

    def emptied(self) -> None:
        """Note that none is left."""


class Timer:
    """A call of `on_timer` at a time, in the context variables that it was set with."""

    __slots__ = ("_timed", "_timers", "context", "when")

    def __init__(self, timers: Timers, when: float, timed: Timed) -> None:
        self._timers = timers
        self._timed: Timed | None = timed
        self.when = when
        self.context: Context | None = copy_context()

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when

    @property
    def waits(self) -> bool:
        """Whether it was neither cancelled nor fired."""
        return self._timed is not None

    def cancel(self) -> None:
        """Do nothing at that time, and drop the references to what should be done."""
        if self._timed is not None:
            self._timed = self.context = None
            self._timers.left_out()

    def fire(self) -> None:
        """Do what is due, unless it was cancelled. To be called in its context."""
        timed = self._timed
        if timed is not None:
            self.cancel()
            timed.on_timer()


class Timers:
    """The shared timers of one event loop, by their times.

    Args:
        alarm: told when none is left. It is held weakly, as it holds these.
    """

    __slots__ = ("_alarm", "_heap", "waiting")

    def __init__(self, alarm: Alarm) -> None:
        self._alarm = ref(alarm)
        self._heap: list[Timer] = []
        self.waiting = 0
        """The number of timers that are not cancelled."""

    @property
    def next(self) -> float:
        """The time of the first one; `inf` if there is none."""
        return self._heap[0].when if self._heap else inf

    def add(self, when: float, timed: Timed) -> Timer:
        """Set a timer."""
        timer = Timer(self, when, timed)
        heapq.heappush(self._heap, timer)
        self.waiting += 1
        return timer

    def due(self, now: float) -> Timer | None:
        """Take out the first one that is due by now; `None` if there is none."""
        while self._heap and (self._heap[0].when <= now or not self._heap[0].waits):
            timer = heapq.heappop(self._heap)
            if timer.waits:
                return timer
        return None

    def left_out(self) -> None:
        """Note that a timer was cancelled, or fires. Cancelled ones are removed in bulk."""
        self.waiting -= 1
        if len(self._heap) > 2 * self.waiting + FEW:
            self._heap = [timer for timer in self._heap if timer.waits]
            heapq.heapify(self._heap)
        alarm = None if self.waiting else self._alarm()
        if alarm is not None:
            alarm.emptied()
