"""The receiving side: the turn to receive from the server, and the source of the app's next message.

How it works. Only one task may be in the server's `receive()` at a time, and sometimes it is the guard's: the guard
prefetches one message for an app that is busy elsewhere, so that it notices a disconnect.

The state has four parts:

- `turn`: who may call the server's `receive()`. ``None`` means whoever asks first, and the app's next message takes the
  fast path. A caller in the app: it is in the server's `receive()`. `GUARD`: the guard is in there, or a message has to
  be delivered first, or nobody may call it.
- `leaving`: the caller whose turn it is was interrupted, once, and has not returned yet.
- `gate`: OPEN, then PAUSED while a close is sent, back to OPEN if the server refuses that, and finally ENDED, which is
  for good: the app gets the disconnect.
- `buffer`: what was received ahead of the app, oldest first.

Besides these, `notice` closes the fast path for one message, and `may_tell` remembers which tasks have had their
disconnect.

Invariant: the turn is `None` only while the gate is open and the buffer empty.

The table of `source`, where the app's next message comes from:

======  =========  =======================  ==========
buffer  gate       turn                     source
======  =========  =======================  ==========
full    any        any                      BUFFER
empty   ENDED      any                      DISCONNECT
empty   otherwise  ``None``                 SERVER
empty   otherwise  somebody                 LATER
======  =========  =======================  ==========
"""

from __future__ import annotations

import enum
from typing import Any
from weakref import WeakSet, ref

# How many times the app gets the disconnect, all its tasks together (O8).
MAX_DISCONNECTS = 100


class _Guard:
    """The type of `GUARD`, which a `WeakSet` can hold."""


GUARD = _Guard()
"""The value of a turn that belongs to no caller in the app."""


class Gate(enum.Enum):
    """Whether anybody may receive from the server."""

    OPEN = "open"
    PAUSED = "paused"
    ENDED = "ended"


OPEN, PAUSED, ENDED = Gate  # see `states.OPEN`


class Connect(enum.Enum):
    """Who has the server's ``websocket.connect``."""

    AWAITED = "the server"
    TAKEN = "the guard"
    DELIVERED = "the app"


AWAITED, TAKEN, DELIVERED = Connect  # see `states.OPEN`


class Source(enum.Enum):
    """The source of the app's next message."""

    SERVER = "server"
    BUFFER = "buffer"
    DISCONNECT = "disconnect"
    LATER = "later"  # wait for a change, and ask again


class Told:
    """The tasks that had a disconnect, each held weakly.

    Attributes:
        times: how many disconnects they had, all together.
    """

    __slots__ = ("_first", "_others", "times")

    def __init__(self, first: Any) -> None:
        self.times = 0
        self._first = ref(first)  # most connections have only this one
        self._others: WeakSet[Any] | None = None

    def add(self, who: Any) -> bool:
        """Add a task, and return whether it was not among them."""
        if self._first() is who:
            return False
        if self._others is None:
            self._others = WeakSet()
        added = who not in self._others
        self._others.add(who)
        return added


class Turns:
    """The receiving side of one connection.

    Args:
        ahead_only: once the app has its connect, only the guard receives from the server.

    Attributes:
        turn: see above. Outside of this module, only the fast path in `connection/inbox.py` sets it.
        notice: the next message takes the slow path, because a deadline depends on it or somebody waits for a turn.
        fetching: the guard is in the server's `receive()`.
    """

    __slots__ = (
        "_told",
        "ahead_only",
        "buffer",
        "fetching",
        "gate",
        "leaving",
        "notice",
        "turn",
    )

    def __init__(self, ahead_only: bool) -> None:
        self.ahead_only = ahead_only
        # The app itself receives the connect, also with `ahead_only`: granian (2.8.7) has it ready, and a task that the
        # app has started must not get in between.
        self.turn: Any = None
        self.leaving = False
        self.gate = OPEN
        self.fetching = False
        self.notice = False
        self.buffer: tuple[Any, ...] = ()
        self._told: Told | None = None

    # The app asks

    @property
    def source(self) -> Source:
        """The source of the app's next message."""
        if self.buffer:
            return Source.BUFFER
        if self.gate is ENDED:
            return Source.DISCONNECT
        return Source.SERVER if self.turn is None else Source.LATER

    @property
    def must_fetch(self) -> bool:
        """Whether an app that waits is waiting for the guard to receive."""
        return self.ahead_only and not self.fetching and self.gate is OPEN

    @property
    def may_fetch(self) -> bool:
        """Whether the guard may receive ahead of an app that is busy elsewhere."""
        return self.turn is None or (self.ahead_only and not self.fetching and not self.buffer)

    # Who receives

    def connected(self) -> None:
        """Note that the app has its connect."""
        if self.ahead_only:
            self.turn = GUARD

    def delivered(self) -> None:
        """Note that the server's `receive()` has returned a message for the app."""
        self.leaving = False
        if self.gate is not OPEN:
            self.turn = GUARD

    def fetch(self) -> None:
        """Note that the guard starts to receive."""
        self.turn, self.fetching = GUARD, True

    def fetched(self) -> None:
        """Note that the guard has stopped receiving, with or without a message."""
        self.fetching = False
        self.release()

    def keep(self, item: Any) -> None:
        """Put what was received ahead into the buffer."""
        self.buffer += (item,)
        self.turn = GUARD

    def pop(self) -> Any:
        """Take the oldest out of the buffer."""
        first, *rest = self.buffer
        self.buffer = tuple(rest)
        self.release()
        return first

    def release(self) -> None:
        """Give the turn back, unless a message is buffered, or nobody may receive."""
        free = self.gate is OPEN and not (self.buffer or self.fetching or self.ahead_only)
        self.turn, self.leaving = None if free else GUARD, False

    # The gate

    def pause(self) -> Any:
        """Let nobody receive. Return the caller that has to leave the server's `receive()`, if there is one."""
        if self.gate is OPEN:
            self.gate = PAUSED
        return self._take()

    def resume(self) -> None:
        """Undo `pause`, unless the connection has ended meanwhile."""
        if self.gate is PAUSED:
            self.gate = OPEN
        if self.turn is GUARD:
            self.release()

    def end(self) -> Any:
        """Give the app the disconnect from now on. Return the caller that has to leave `receive()`, if there is one."""
        self.gate = ENDED
        return self._take()

    def disconnected(self) -> None:
        """Note that the server has returned the disconnect, so that nobody is in its `receive()`."""
        self.gate, self.turn, self.leaving = ENDED, GUARD, False

    def _take(self) -> Any:
        if self.turn is None or self.turn is GUARD:
            self.turn = GUARD
            return None
        if self.leaving:
            return None
        self.leaving = True
        return self.turn

    # The disconnect (O8)

    def may_tell(self, who: Any, *, waited: bool = False) -> bool:
        """Return whether a task gets the disconnect: its first one, or one that arrived while it waited for a message.

        Args:
            who: the task, or an object that stands for all tasks that share one disconnect.
            waited: it was already waiting.
        """
        if self._told is None:
            self._told = Told(who)
            return True
        return self._told.times < MAX_DISCONNECTS and (self._told.add(who) or waited)

    def told(self) -> None:
        """Note that the app has had a disconnect."""
        assert self._told is not None  # `may_tell` comes before
        self._told.times += 1
