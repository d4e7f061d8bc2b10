"""A drain under way: one timer for all of its connections."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from math import inf
from random import Random
from typing import TYPE_CHECKING

import anyio
from anyio.lowlevel import checkpoint, current_token

from ..denial import DenialResponse
from ..lifecycle import Verdict
from ..runtime import runtime
from .manner import Drained, Manner
from .schedule import Schedule

if TYPE_CHECKING:
    from ..connection import Connection
    from ..runtime import Timer

# How often, in seconds, to look again at what is left when all have had their turn.
AGAIN = 1.0


class Fate(enum.Enum):
    """What becomes of a connection."""

    ENDED = "ended"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class Running:
    """The drain of some connections of this event loop. Any number of calls may wait for its end.

    Args:
        connections: those that are there.
        manner: how it goes.
        denial: what the handshakes are denied with that have no answer yet.
        random: where chance comes from.
    """

    def __init__(
        self, connections: Iterable[Connection], manner: Manner, denial: DenialResponse, random: Random
    ) -> None:
        self.loop = current_token()
        self._runtime = runtime()
        self._denial = denial
        self._random = random
        self._fates = dict.fromkeys(connections, Fate.ENDED)  # unless the drain comes first
        self._figures: Counter[Fate] = Counter()
        self._waiting = 0  # calls
        self._called_off = False
        self._over = anyio.Event()
        self._timer: Timer | None = None
        self._follow(manner)
        self._stop_if_done()

    @property
    def over(self) -> bool:
        """Whether nothing more is closed, and nothing waited for."""
        return self._called_off or self._over.is_set()

    async def wait(self) -> Drained:
        """Wait for the end. Once nobody waits for it any more, nothing more is closed."""
        self._waiting += 1
        try:
            await self._deny_unanswered()
            await self._over.wait()
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._stop()
        return self.drained

    @property
    def drained(self) -> Drained:
        """What it has come to."""
        # One that was called off leaves some whose apps have not ended yet.
        figures = self._figures + Counter(fate for fate in self._fates.values() if fate is not Fate.ENDED)
        return Drained(**{fate.value: figures[fate] for fate in Fate})

    def hurry(self, manner: Manner) -> None:
        """Go on in this manner, if it ends sooner."""
        if self._runtime.now() + manner.grace + manner.spread < self._ends:
            self._follow(manner)

    def call_off(self, loop: object) -> None:
        """Close nothing more. In another event loop than this one, that comes with the next turn."""
        self._called_off = True
        if loop == self.loop:
            self._stop()

    def overran(self, connection: Connection) -> None:
        """Note that the app was cancelled. The second time, it is waited for no more."""
        if self._fates.get(connection) is Fate.CANCELLED:
            self.ended(connection)
        elif connection in self._fates:
            self._fates[connection] = Fate.CANCELLED

    def ended(self, connection: Connection) -> None:
        """Note that the app has ended."""
        if connection in self._fates:
            self._figures[self._fates.pop(connection)] += 1
            if self._schedule is not None:
                self._schedule.remove(connection)
            self._stop_if_done()

    async def _deny_unanswered(self) -> None:
        """Tell those who wait for an answer to their handshake, as nobody is let in any more."""
        for connection in [one for one in self._fates if not one.answered]:
            if not (self.over or connection.answered):
                self._close(connection)
                await checkpoint()

    def _follow(self, manner: Manner) -> None:
        now = self._runtime.now()
        self._verdict = Verdict(self._denial, manner.code, manner.reason)
        self._begins, self._spread = now + manner.grace, manner.spread
        self._ends = self._begins + manner.spread
        self._schedule: Schedule[Connection] | None = None
        self._arm(self._begins)

    def _arm(self, when: float) -> None:
        self._disarm()
        self._timer = self._runtime.call_at(when, self._look)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        """Close those whose turn it is: the timer has come."""
        now, self._timer = self._runtime.now(), None
        if self._called_off:
            return self._stop()
        if self._schedule is None:  # planned no sooner, as many have ended meanwhile
            left = [connection for connection in self._fates if not connection.over]
            self._schedule = Schedule(left, self._begins, self._spread, self._random)
        for connection in self._schedule.due(now):
            self._close(connection)
        if self._schedule.next == inf:
            # One that was over at its turn may be open again: the server has refused the app's own close.
            self._schedule, self._begins, self._spread = None, now + AGAIN, 0.0
        self._arm(self._begins if self._schedule is None else self._schedule.next)

    def _close(self, connection: Connection) -> None:
        if connection.drain(self._verdict) is not None:
            self._fates[connection] = Fate.CLOSED

    def _stop_if_done(self) -> None:
        if not self._fates:
            self._stop()

    def _stop(self) -> None:
        self._disarm()
        self._over.set()
