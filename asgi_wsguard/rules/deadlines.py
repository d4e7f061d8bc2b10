"""The deadlines of one websocket: what is due by now, and when to ask again. Asking changes nothing.

How it works. The time is given. While the connection lives, `Deadlines` has its deadlines, and `Deadlines.due` names
the limit that it has reached. Once it is over, `AfterEnd` has the deadlines of the app, which may keep running:

- It is *unaware*: nothing has told it. The disconnect is made ready for it after `close_timeout`, whatever the server
  does (O8). After `exit_timeout` it is cancelled, since there is no other way to tell it (O12).
- It *knows*: `receive()` has returned the disconnect, `send()` has raised, it has closed or denied, or it was
  cancelled. It cleans up, for as long as it needs, or for `cleanup_timeout` (O16).
- It knows, and *uses* the connection: if it still does so `exit_timeout` after its first use, it is cancelled.
- It was *cancelled*: it knows.

In each of these states a *drain* has a limit of its own, and after `exit_timeout` the app is counted as one that
outlives its client. The caller reports what it has done (`told`, `counted`, `cancelled` ...), and then that is no
longer due.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any, Union

from .states import OPEN, OVER, EndReason, State

# Seconds after a message when the guard checks whether the app waits for the next one (O12 allows a second).
LOOK = 0.5
# An idle or stuck connection is checked this many times before its limit expires.
PARTS = 8
# Seconds that an unaware app has if the server closes its connections because it is stopping. uvicorn (0.54.0) waits
# for the apps, so SIGTERM would take a minute.
STOPPING = 10.0
# Seconds that a cancelled app has to end before it counts as one that outlives its client.
SOON = 1.0
# uvloop's timers count in whole milliseconds, and may fire this much early.
EARLY = 0.001


@dataclass(frozen=True)
class Limits:
    """The timeouts of the options, in seconds; `inf` disables one.

    Attributes:
        timed: a deadline depends on the messages that the app sends.
        look: seconds after a message when the timer fires.
        soon: seconds after a change of state when the timer fires, to learn what is due and when. No limit is shorter.
    """

    handshake_timeout: float = inf
    exit_timeout: float = inf
    cleanup_timeout: float = inf
    close_timeout: float = inf
    idle_timeout: float = inf
    max_lifetime: float = inf
    send_timeout: float = inf

    timed: bool = field(init=False)
    look: float = field(init=False)
    soon: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "timed", self.idle_timeout != inf or self.send_timeout != inf)
        object.__setattr__(self, "look", min(LOOK, self.idle_timeout / PARTS, self.send_timeout / PARTS))
        limits = [getattr(self, limit.name) for limit in fields(self) if limit.init]
        object.__setattr__(self, "soon", min(self.look, *limits))


class Overrun(enum.Enum):
    """The reason to cancel an app that keeps running after the end."""

    UNAWARE = "did not know of it"
    USING = "kept using it"
    CLEANUP = "was cleaning up"
    DRAINED = "was drained"


class Notice(enum.Enum):
    """Something else that is due after the end."""

    DISCONNECT = "make the disconnect ready for the app"
    OUTLIVES = "count the app as one that outlives its client"


Due = Union[EndReason, Overrun, Notice]


class AfterEnd:
    """The deadlines of an app whose connection is over, in seconds of the event loop's time; `inf` is never."""

    __slots__ = (
        "_cleanup_at",
        "_disconnect_at",
        "_drain",
        "_drained_at",
        "_limits",
        "_outlives_at",
        "_unaware_at",
        "_uses",
        "_using_at",
        "ended",
        "knows",
        "waiting",
    )

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self.ended = now
        self.knows = False
        """The app was told: by `receive()`, an error of `send()`, its own close or denial, or a cancellation."""
        self.waiting = 0
        """The number of calls of `receive()` that wait although the app knows."""
        self._uses = False  # it has used the connection after its deadline for that
        self._disconnect_at = now + min(limits.close_timeout, limits.exit_timeout)
        self._outlives_at = self._unaware_at = now + limits.exit_timeout
        self._using_at = self._cleanup_at = self._drained_at = self._drain = inf

    def due(self, now: float) -> Due | None:
        """Return what is due by now, the most pressing first; `None` if nothing is."""
        now += EARLY
        if self._disconnect_at <= now:
            return Notice.DISCONNECT
        if self._drained_at <= now:
            return Overrun.DRAINED
        if self._unaware_at <= now:
            return Overrun.UNAWARE
        if self._using_at <= now and (self._uses or self.waiting):
            return Overrun.USING
        if self._cleanup_at <= now:
            return Overrun.CLEANUP
        return Notice.OUTLIVES if self._outlives_at <= now else None

    def next(self, now: float) -> float:
        """Return when to ask again."""
        # An app that has stopped using the connection is due only when it uses it again.
        using_at = self._using_at if self._uses or self._using_at > now + EARLY else inf
        return min(
            self._disconnect_at, self._outlives_at, self._unaware_at, using_at, self._cleanup_at, self._drained_at
        )

    def stopping(self) -> None:
        """Note that the connection is over because the server is stopping."""
        self._unaware_at = min(self._unaware_at, self.ended + STOPPING)

    def told(self, now: float) -> None:
        """Note that the app knows from now on."""
        if not self.knows:
            self.knows = True
            self._unaware_at = inf
            self._cleanup_at = now + self._limits.cleanup_timeout

    def used(self, now: float) -> None:
        """Note that the app uses the connection although it is over."""
        if self._using_at != inf:
            self._uses = self._using_at <= now + EARLY
        elif self.knows:
            self._using_at = now + self._limits.exit_timeout
            self._outlives_at = max(self._outlives_at, self._using_at + SOON)

    def drained(self, limit: float, now: float) -> None:
        """Note a drain, which gives the app this many seconds."""
        if self._drain == inf:
            self._drain, self._drained_at = limit, now + limit

    def disconnect_ready(self) -> None:
        """Note that the disconnect is ready for the app."""
        self._disconnect_at = inf

    def counted(self) -> None:
        """Note that the app was counted as one that outlives its client."""
        self._outlives_at = inf

    def cancelled(self, now: float) -> None:
        """Note that the app was cancelled, and so knows."""
        self.knows = True
        self._uses = False
        self._unaware_at = self._using_at = inf
        self._outlives_at = max(self._outlives_at, now + SOON) if self._outlives_at != inf else inf
        self._cleanup_at = now + self._limits.cleanup_timeout
        self._drained_at = now + self._drain


class Sends:
    """The calls of `send()` with data, where these have a limit. Each counts from the first check after its begin.

    Attributes:
        caller: who is in there; `others` has those that came meanwhile.
        since: since when this one counts; `inf` is not yet.
    """

    __slots__ = ("_others", "caller", "since")

    def __init__(self) -> None:
        self.caller: Any = None
        self.since = inf
        self._others: dict[Any, float] | None = None

    @property
    def others(self) -> dict[Any, float]:
        """Any other callers, and since when they count. On most connections there never is one."""
        if self._others is None:
            self._others = {}
        return self._others

    @property
    def callers(self) -> list[Any]:
        """All callers."""
        return [caller for caller in (self.caller, *(self._others or ())) if caller is not None]

    @property
    def earliest(self) -> float:
        """Since when the first of them counts; `inf` if none does."""
        first = inf if self.caller is None else self.since
        return min([first, *self._others.values()]) if self._others else first

    def checked(self, now: float) -> None:
        """Count those that are there from now on, if not from an earlier check."""
        if self.caller is not None and self.since == inf:
            self.since = now
        for caller, since in (self._others or {}).items():
            if since == inf:
                self.others[caller] = now


class Deadlines:
    """When things happened on one connection, in seconds of the event loop's time; `inf` is not yet."""

    __slots__ = ("_after_end", "_told", "active", "began", "ended", "limits", "opened", "sends")

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.began = self.active = now
        """`active` is a time at or after the last message in either direction."""
        self.opened = self.ended = inf
        self.sends = Sends() if limits.timed else None
        self._told = inf
        self._after_end: AfterEnd | None = None

    @property
    def after_end(self) -> AfterEnd | None:
        """The deadlines of the app, once the connection is over. Most apps end at once, and have none."""
        if self._after_end is None and self.ended != inf:
            self._after_end = AfterEnd(self.limits, self.ended)
            if self._told != inf:
                self._after_end.told(self._told)
        return self._after_end

    def told(self, now: float) -> None:
        """Note that the app knows from now on that the connection is over, if it is."""
        if self._after_end is not None:
            self._after_end.told(now)
        elif self._told == inf != self.ended:
            self._told = now

    def due(self, now: float) -> Due | None:
        """Return what is due by now: a limit that was reached, or what is due for the app; `None` if nothing is."""
        if self.after_end is not None:
            return self.after_end.due(now)
        now += EARLY
        limits = self.limits
        if self.opened == inf:
            return EndReason.HANDSHAKE_TIMEOUT if self.began + limits.handshake_timeout <= now else None
        if self.opened + limits.max_lifetime <= now:
            return EndReason.MAX_LIFETIME
        if self.sends is not None and self.sends.earliest + limits.send_timeout <= now:
            return EndReason.SEND_TIMEOUT
        return EndReason.IDLE_TIMEOUT if self.active + limits.idle_timeout <= now else None

    def next(self, now: float) -> float:
        """Return when to ask again."""
        limits = self.limits
        if self.after_end is not None:
            return self.after_end.next(now)
        if self.opened == inf:
            return self.began + limits.handshake_timeout
        return min(
            self.opened + limits.max_lifetime,
            self.active + limits.idle_timeout,
            now + limits.idle_timeout / PARTS,
            now + limits.send_timeout / PARTS if self.sends is not None and self.sends.callers else inf,
        )

    def follow(self, state: State, now: float) -> None:
        """Note the state of the connection, which may go back when the server refuses a step."""
        if state is OPEN:
            if self.opened == inf:
                self.opened = self.active = now
        elif state in OVER:
            if self.ended == inf:
                self.ended = now
            return
        else:
            self.opened = inf
        self.ended = self._told = inf
        self._after_end = None

    def checked(self, now: float) -> None:
        """Note a check, from which on new sends count."""
        if self.sends is not None:
            self.sends.checked(now)
