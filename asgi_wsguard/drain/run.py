"""A drain under way: one timer for all of its connections."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from math import inf
from random import Random

import anyio
from anyio.lowlevel import checkpoint

from ..rules.denial import DenialResponse
from ..rules.lifecycle import Answer
from ..runtime import current_loop, runtime
from ..runtime.timers import Timer
from .drainable import Drainable
from .plan import Drained, DrainPlan
from .schedule import Schedule

# Seconds between checks of the connections that are left after all have had their turn.
AGAIN = 1.0


class DrainOutcome(enum.Enum):
    """The result for one connection."""

    ENDED = "ended"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class DrainRun:
    """The drain of some connections of this event loop. Any number of calls may wait for its end.

    Args:
        connections: the connections to drain.
        plan: times, close code and reason.
        denial: the response to handshakes that are not answered yet.
        random: the random generator of the schedule.
    """

    def __init__(
        self, connections: Iterable[Drainable], plan: DrainPlan, denial: DenialResponse, random: Random
    ) -> None:
        self.loop = current_loop()
        self._runtime = runtime()
        self._denial = denial
        self._random = random
        self._outcomes = dict.fromkeys(connections, DrainOutcome.ENDED)  # unless the drain comes first
        self._figures: Counter[DrainOutcome] = Counter()
        self._finishing: dict[Drainable, float] = {}  # since when their apps are known to have ended
        self._waiting = 0  # calls
        self._called_off = False
        self._over = anyio.Event()
        self._timer: Timer | None = None
        self._follow(plan)
        self._stop_if_done()

    @property
    def over(self) -> bool:
        """Whether nothing more is closed or waited for."""
        return self._called_off or self._over.is_set()

    async def wait(self) -> Drained:
        """Wait for the end. When the last waiter is cancelled, nothing more is closed."""
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
        """The result so far."""
        # When a drain was called off, some apps have not ended yet.
        figures = self._figures + Counter(
            outcome for outcome in self._outcomes.values() if outcome is not DrainOutcome.ENDED
        )
        return Drained(**{outcome.value: figures[outcome] for outcome in DrainOutcome})

    def hurry(self, plan: DrainPlan) -> None:
        """Continue with this plan, if it ends sooner."""
        if self._runtime.now() + plan.grace + plan.spread < self._ends:
            self._follow(plan)

    def call_off(self, loop: object) -> None:
        """Close nothing more. If called in another event loop, this takes effect at the next turn."""
        self._called_off = True
        if loop == self.loop:
            self._stop()

    def overran(self, connection: Drainable) -> None:
        """Note that the app was cancelled. After the second time, it is no longer waited for."""
        if self._outcomes.get(connection) is DrainOutcome.CANCELLED:
            self.ended(connection)
        elif connection in self._outcomes:
            self._outcomes[connection] = DrainOutcome.CANCELLED

    def ended(self, connection: Drainable) -> None:
        """Note that the app has ended."""
        if connection in self._outcomes:
            self._figures[self._outcomes.pop(connection)] += 1
            self._finishing.pop(connection, None)
            if self._schedule is not None:
                self._schedule.remove(connection)
            self._stop_if_done()

    async def _deny_unanswered(self) -> None:
        """Deny the handshakes that are not answered yet, because no more are admitted."""
        for connection in [one for one in self._outcomes if not one.answered]:
            if not (self.over or connection.answered):
                self._close(connection)
                await checkpoint()

    def _follow(self, plan: DrainPlan) -> None:
        now = self._runtime.now()
        self._answer = Answer(self._denial, plan.code, plan.reason)
        self._exit_timeout = plan.exit_timeout
        self._begins, self._spread = now + plan.grace, plan.spread
        self._ends = self._begins + plan.spread
        self._schedule: Schedule[Drainable] | None = None
        self._arm(self._begins)

    def _arm(self, when: float) -> None:
        self._disarm()
        self._timer = self._runtime.call_at(when, self)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_timer(self) -> None:
        """Close the connections whose turn it is, when the timer has fired."""
        now, self._timer = self._runtime.now(), None
        if self._called_off:
            return self._stop()
        self._leave_behind(now)
        if not self._outcomes:
            return
        if self._schedule is None:  # made only now, because many connections have ended meanwhile
            left = [connection for connection in self._outcomes if not connection.over]
            for connection in self._outcomes:
                connection.limit_exit(self._exit_timeout)
            self._schedule = Schedule(left, self._begins, self._spread, self._random)
        for connection in self._schedule.due(now):
            self._close(connection)
        if self._schedule.next == inf:
            # A connection that was over at its turn may be open again, if the server has refused the app's own close.
            self._schedule, self._begins, self._spread = None, now + AGAIN, 0.0
        self._arm(self._begins if self._schedule is None else self._schedule.next)

    def _leave_behind(self, now: float) -> None:
        """Stop waiting for a server or an observer that takes longer than an app may, without a `close_timeout`."""
        # An observer may even wait for this drain.
        for connection in [one for one in self._outcomes if one.app_ended]:
            if now >= self._finishing.setdefault(connection, now) + self._exit_timeout:
                self.ended(connection)

    def _close(self, connection: Drainable) -> None:
        if connection.drain(self._answer) is not None:
            self._outcomes[connection] = DrainOutcome.CLOSED
        connection.limit_exit(self._exit_timeout)

    def _stop_if_done(self) -> None:
        if not self._outcomes:
            self._stop()

    def _stop(self) -> None:
        self._disarm()
        self._over.set()
