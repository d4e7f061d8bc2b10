"""The state of one connection, its deadlines and its one timer. The parts of a connection share it."""

from __future__ import annotations

from math import inf

from ..rules.deadlines import Deadlines
from ..rules.lifecycle import Lifecycle
from ..rules.messages import SEND
from ..rules.states import OPEN
from ..runtime import Runtime
from ..runtime.timers import Timed, Timer

NO_TYPE = object()  # equal to no type of message


class Tracker:
    """The state, the deadlines and the timer that the parts of one connection share.

    Attributes:
        data: while the connection is open, the one type of message that may skip the rules; else `NO_TYPE`.
    """

    __slots__ = ("_timed", "_timer", "data", "deadlines", "lifecycle", "runtime")

    def __init__(self, lifecycle: Lifecycle, deadlines: Deadlines, runtime: Runtime) -> None:
        self.lifecycle = lifecycle
        self.deadlines = deadlines
        self.runtime = runtime
        self.data: object = NO_TYPE
        self._timed: Timed | None = None  # what the timer calls; `None` once the app has ended
        self._timer: Timer | None = None

    def sync_state(self, *, told: bool = False) -> None:
        """Follow the state of the lifecycle, which has changed. `told`: to the knowledge of the app (O16)."""
        state = self.lifecycle.state
        self.data = SEND if state is OPEN else NO_TYPE
        if self._timed is not None:
            now = self.runtime.now()
            self.deadlines.follow(state, now)
            if told:
                self.deadlines.told(now)
            self.arm(now + self.deadlines.limits.soon)

    def left(self) -> None:
        """Note that the client has left."""
        self.lifecycle.left()
        self.sync_state()

    # After the end

    def app_knows(self) -> None:
        """Note that the app was told that the connection is over (O16)."""
        if self._timed is not None:
            now = self.runtime.now()
            self.deadlines.told(now)
            self.arm(now + self.deadlines.limits.soon)

    def app_uses(self) -> None:
        """Note that the app uses the connection although it is over (O16)."""
        clocks = None if self._timed is None else self.deadlines.after_end
        if clocks is not None:
            now = self.runtime.now()
            clocks.used(now)
            self.arm(clocks.next(now))

    def server_stops(self) -> None:
        """Note that the connection is over because the server is stopping."""
        clocks = self.deadlines.after_end
        if clocks is not None:
            clocks.stopping()
            self.arm(clocks.next(self.runtime.now()))

    def drained(self, seconds: float) -> None:
        """Note a drain, which gives the app this many seconds after the end."""
        clocks = None if self._timed is None else self.deadlines.after_end
        if clocks is not None:
            now = self.runtime.now()
            clocks.drained(seconds, now)
            self.arm(clocks.next(now))

    # The timer

    @property
    def stopped(self) -> bool:
        """Whether the app has ended, so that no deadline applies any more."""
        return self._timed is None

    def start(self, timed: Timed) -> None:
        """Start the timer, which calls `timed` until `stop()`."""
        self._timed = timed
        self.arm(self.deadlines.began + self.deadlines.limits.soon)

    def arm(self, when: float) -> None:
        """Set the timer to this time, unless it is set to an earlier one."""
        timer = self._timer
        if self._timed is not None and when < (inf if timer is None else timer.when):
            if timer is not None:
                timer.cancel()
            self._timer = self.runtime.call_at(when, self._timed)

    def fired(self) -> float:
        """Note that the timer has fired, and return the time."""
        self._timer = None
        return self.runtime.now()

    def watch(self) -> None:
        """Set the timer to fire soon, to check whether the app waits for a message."""
        self.arm(self.runtime.now() + self.deadlines.limits.look)

    def touch(self) -> None:
        """Note a message, in either direction."""
        if self.deadlines.limits.timed:
            self.deadlines.active = self.runtime.now()

    def stop(self) -> None:
        """Stop the timer for good: the app has ended."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timed = None
