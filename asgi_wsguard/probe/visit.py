"""The record of one connection to the probe's app."""

from __future__ import annotations

import threading
from contextvars import ContextVar
from dataclasses import dataclass, field

import anyio


@dataclass
class Visit:
    """The notes of the app, the guard's log lines and reports, and whether the app has ended."""

    extension: bool
    """The server has the ``websocket.http.response`` extension."""
    drops: bool
    """Its ASGI version drops what is sent after the end."""
    notes: list[str] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)
    reports: list[str] = field(default_factory=list)
    """The outcomes of the reports that the guard's observer was given."""
    raised: str = ""
    """The exception that reached the server."""
    start: float = field(default_factory=anyio.current_time)
    seconds: float = 0.0
    """How long the app ran, by the clock of the event loop."""
    over: anyio.Event = field(default_factory=anyio.Event)
    released: threading.Event = field(default_factory=threading.Event)
    """Set when the client is done. An app that nothing else can stop ends then."""
    server: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around the app and its guard. Cancelling it simulates a server that stops."""

    def end(self) -> None:
        """Note that the app has ended."""
        self.seconds = anyio.current_time() - self.start
        self.over.set()


VISIT: ContextVar[Visit] = ContextVar("VISIT")


def note(text: str) -> None:
    """Record a note of the app, which the scenario checks."""
    VISIT.get().notes.append(text)
