"""The schedule of the closes in a drain. It is pure: the time is given, and so is the random generator."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from math import inf
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")

# Closes in one iteration of the event loop, so that it is never blocked for long. benchmarks/drain.py measures it.
AT_ONCE = 20


class Schedule(Generic[T]):
    """Spreads things evenly over a time. Each gets a share of it, in order, and its turn at a random moment of that.

    Args:
        things: the things that get a turn.
        begins: the beginning of the time.
        spread: its length, in seconds.
        random: the random generator.
    """

    def __init__(self, things: Collection[T], begins: float, spread: float, random: Random) -> None:
        share = spread / max(len(things), 1)
        self._turns = OrderedDict(
            (thing, begins + share * (place + random.random())) for place, thing in enumerate(things)
        )

    @property
    def next(self) -> float:
        """The time of the next turn; `inf` if there is none."""
        return next(iter(self._turns.values()), inf)

    def due(self, now: float) -> list[T]:
        """Remove and return things whose turn has come, but not too many at once: `next` may then be in the past."""
        due: list[T] = []
        while self.next <= now and len(due) < AT_ONCE:
            due.append(self._turns.popitem(last=False)[0])
        return due

    def remove(self, thing: T) -> None:
        """Remove a thing that no longer needs its turn, if it has one."""
        self._turns.pop(thing, None)
