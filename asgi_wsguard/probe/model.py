"""What a scenario is made of: an app, what its client does, and what must come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any, Callable, Union

Message = Any
Scope = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Coroutine[Any, Any, None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


# What the client does.


@dataclass(frozen=True)
class Say:
    """Send a message."""

    text: str


@dataclass(frozen=True)
class Hear:
    """Wait for a message."""


@dataclass(frozen=True)
class Leave:
    """Send a close frame, and wait for the server's."""

    code: int = 1000


@dataclass(frozen=True)
class Vanish:
    """Cut the connection: a reset, no close frame."""


Step = Union[Say, Hear, Leave, Vanish]


# What the client must get.


@dataclass(frozen=True)
class Denied:
    """The handshake is refused; the status is 403 where the server has no denial extension."""

    status: int
    body: bytes | None = b""
    """`None`: whatever the server likes."""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cut:
    """The denial breaks off inside its body, and the client can tell."""

    status: int


@dataclass(frozen=True)
class Refused:
    """The answer is illegal, and the client refuses it. No scenario wants it; some old servers cannot do better."""

    fault: str


@dataclass(frozen=True)
class Closed:
    """The websocket was open, and is closed with a close frame."""

    code: int
    reason: str = ""
    messages: tuple[str | bytes, ...] = ()


@dataclass(frozen=True)
class Gone:
    """The client itself has left, and waits for nothing."""


Outcome = Union[Denied, Cut, Refused, Closed, Gone]


@dataclass(frozen=True)
class Scenario:
    """One situation."""

    name: str
    clause: str
    title: str
    app: App
    client_gets: Outcome
    app_sees: tuple[str, ...] = ()
    """What the app noted."""
    raises: str = ""
    """The exception that goes on to the server, and shows in its log."""
    logs: str = ""
    """The level and the clause of the line that the guard logs; two for a repair after which the app went wrong."""
    steps: tuple[Step, ...] = ()
    offers: tuple[str, ...] = ()
    """The subprotocols that the client offers."""
    guards: int = 1
