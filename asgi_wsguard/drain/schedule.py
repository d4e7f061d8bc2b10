"""Who is closed when. Pure: the time is given, and so is chance."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from math import inf
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")

# So many in one turn of the event loop, so that it is never held for long: benchmarks/drain.py measures it.
AT_ONCE = 20


class Schedule(Generic[T]):
    """Spreads things evenly over a time: each has its share of it, in order, and its turn at a random moment of that.

    Args:
        things: what has a turn.
        begins: when the time begins.
        spread: how long it is, in seconds.
        random: where chance comes from.
    """

    def __init__(self, things: Collection[T], begins: float, spread: float, random: Random) -> None:
        share = spread / max(len(things), 1)
        self._turns = OrderedDict(
            (thing, begins + share * (place + random.random())) for place, thing in enumerate(things)
        )

    @property
    def next(self) -> float:
        """When the next turn is; `inf` if there is none."""
        return next(iter(self._turns.values()), inf)

    def due(self, now: float) -> list[T]:
        """Take those whose turn it is by now, but not too many at once: then `next` has passed already."""
        due: list[T] = []
        while self.next <= now and len(due) < AT_ONCE:
            due.append(self._turns.popitem(last=False)[0])
        return due

    def remove(self, thing: T) -> None:
        """Take one out that needs its turn no more, if it has one."""
        self._turns.pop(thing, None)
