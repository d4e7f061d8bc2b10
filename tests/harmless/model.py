"""An app, its client, and the journal."""

from __future__ import annotations

import os
from collections.abc import Awaitable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

from asgi_wsguard.compare.journal import PLAY, write

if TYPE_CHECKING:
    from harmless.client import Talk
    from harmless.in_process import Suite

SCALE = float(os.environ.get("HARMLESS_SCALE", "20"))
"""How many times quicker everything is than on the defaults of the guard. 1 are the defaults."""

SIDES = ("bare", "guarded")

IN_PROCESS = "in-process"
"""The name of what stands for a server where a test client calls the app in its own process."""

# Whose connection a task of the server belongs to. Tasks that an app starts inherit it.
WHO: ContextVar[str] = ContextVar("who", default="")


def seconds(real: float) -> float:
    """Return how long so many seconds of the real thing take."""
    return real / SCALE


@dataclass(frozen=True)
class App:
    """An app that works on a bare server, and its client."""

    name: str
    make: Callable[[], Any]
    """Returns the ASGI app. Called once for the bare and once for the guarded side, in the server's process."""
    client: Callable[[Talk], Awaitable[None]] | Callable[[Suite], None]
    trio: bool = False
    """It runs on trio, too."""
    alone: bool = False
    """It would disturb others, so it is played once they are done."""
    stops: bool = False
    """Its client stops the server, so it has a process of its own for each side."""
    servers: tuple[str, ...] = ()
    """The only ones that it works on, bare. Default all."""
    in_process: bool = False
    """Its client is a test client, in a plain function, so it is played on no server."""
    around: Callable[[Any], Any] = lambda app: app
    """What is between the server and the guard, and on the bare side between the server and the app."""

    def works_on(self, server: str) -> bool:
        """Return whether it is played on the server."""
        if self.in_process or server == IN_PROCESS:
            return self.in_process and server == IN_PROCESS
        return (self.trio or not server.endswith("-trio")) and server in (self.servers or (server,))


def note(text: str, who: str | None = None) -> None:
    """Write a line into the journal: what the app did."""
    write("note", PLAY.get(), WHO.get() if who is None else who, text)
