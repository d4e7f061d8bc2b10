"""What is kept of one connection to the probe's app."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field

import anyio


@dataclass
class Visit:
    """One connection: what its app noted, what the guard logged, and whether the app has ended."""

    extension: bool
    notes: list[str] = field(default_factory=list)
    log: list[tuple[str, str]] = field(default_factory=list)
    over: anyio.Event = field(default_factory=anyio.Event)
    server: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Around the app and its guard: cancelling it is what a server does that stops."""


VISIT: ContextVar[Visit] = ContextVar("VISIT")


def note(text: str) -> None:
    """Let an app keep what it saw, for the scenario to check."""
    VISIT.get().notes.append(text)
