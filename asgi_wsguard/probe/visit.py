"""What is kept of one connection to the probe's app."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field

import anyio


@dataclass
class Visit:
    """One connection: what its app noted, what the guard logged and reported, and whether the app has ended."""

    extension: bool
    """The server has the ``websocket.http.response`` extension."""
    drops: bool
    """Its ASGI version drops what is sent after the end."""
    notes: list[str] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    """The outcomes of the reports that the guard's observer was given."""
    raised: str = ""
    """The exception that went on to the server."""
    start: float = field(default_factory=anyio.current_time)
    seconds: float = 0.0
    """How long the app ran, by the clock of the event loop."""
    over: anyio.Event = field(default_factory=anyio.Event)
    released: threading.Event = field(default_factory=threading.Event)
    """The client is done: an app that nothing else can stop may end now."""
    server: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around the app and its guard: cancelling it is what a server does that stops."""

    def end(self) -> None:
        """Note that the app has ended."""
        self.seconds = anyio.current_time() - self.start
        self.over.set()


VISIT: ContextVar[Visit] = ContextVar("VISIT")


def note(text: str) -> None:
    """Let an app keep what it saw, for the scenario to check."""
    VISIT.get().notes.append(text)
