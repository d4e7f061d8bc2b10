"""The clocks of one websocket: which limit is reached, and when to look again. Pure: the time is given."""

from __future__ import annotations

from math import inf
from typing import Any, NamedTuple

from .states import OVER, Ending, State

# How long after a message the guard looks whether the app waits for the next one (O12 allows a second).
LOOK = 0.5
# Idle and stuck connections are looked at that many times until their time is up.
PARTS = 8
# uvloop's timers count in whole milliseconds, and may be that early.
EARLY = 0.001


_NONE: dict[Any, float] = {}


class Limits(NamedTuple):
    """The timeouts of the options, in seconds, where `inf` is never."""

    handshake_timeout: float = inf
    exit_timeout: float = inf
    close_timeout: float = inf
    idle_timeout: float = inf
    max_lifetime: float = inf
    send_timeout: float = inf

    @property
    def timed(self) -> bool:
        """Whether what the app sends matters to a clock."""
        return self.idle_timeout != inf or self.send_timeout != inf

    @property
    def look(self) -> float:
        """How long after a message the timer comes."""
        return min(LOOK, self.idle_timeout / PARTS, self.send_timeout / PARTS)


class Deadlines:
    """When things happened on one connection, in seconds of the event loop's time; `inf` is not yet."""

    __slots__ = ("_cancel_at", "_disconnect_at", "_limits", "active", "began", "ended", "opened", "sends")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.began = now
        self.opened = inf
        self.active = now
        """When the last message came or went, not earlier."""
        self.sends: dict[Any, float] = {} if limits.timed else _NONE
        """Who is in `send()`, and since when; `inf` is since the last look."""
        self.ended = self._disconnect_at = self._cancel_at = inf

    def follow(self, state: State, now: float) -> None:
        """Note where the connection is; a step that the server refused goes back."""
        if state in OVER:
            if self.ended == inf:
                self.ended = now
                self._disconnect_at = now + self._limits.close_timeout
                self._cancel_at = now + self._limits.exit_timeout
            return
        self.ended = self._disconnect_at = self._cancel_at = inf
        if state is not State.OPEN:
            self.opened = inf
        elif self.opened == inf:
            self.opened = self.active = now

    def reached(self, now: float) -> Ending | None:
        """Return the limit that the connection has reached."""
        now += EARLY
        limits = self._limits
        if self.ended != inf:
            return None
        if self.opened == inf:
            return Ending.HANDSHAKE_TIMEOUT if self.began + limits.handshake_timeout <= now else None
        if self.opened + limits.max_lifetime <= now:
            return Ending.MAX_LIFETIME
        for caller, since in self.sends.items():
            if since == inf:
                self.sends[caller] = now
            elif since + limits.send_timeout <= now:
                return Ending.SEND_TIMEOUT
        return Ending.IDLE_TIMEOUT if self.active + limits.idle_timeout <= now else None

    def must_tell(self, now: float) -> bool:
        """Tell whether it is time that the app gets its disconnect (O8)."""
        if now + EARLY < self._disconnect_at:
            return False
        self._disconnect_at = inf
        return True

    def must_cancel(self, now: float) -> bool:
        """Tell whether it is time to cancel the app (O12), and if so, set the next time."""
        if now + EARLY < self._cancel_at:
            return False
        self._cancel_at = now + self._limits.exit_timeout
        return True

    def next(self, now: float) -> float:
        """Return when there is something to look at."""
        limits = self._limits
        if self.ended != inf:
            return min(self._disconnect_at, self._cancel_at)
        if self.opened == inf:
            return self.began + limits.handshake_timeout
        return min(
            self.opened + limits.max_lifetime,
            self.active + limits.idle_timeout,
            now + limits.idle_timeout / PARTS,
            now + limits.send_timeout / PARTS if self.sends else inf,
        )

    def look(self, now: float) -> float:
        """Return when to look whether the app waits for a message."""
        return min(now + self._limits.look, self.next(now))
