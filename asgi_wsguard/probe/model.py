"""What a scenario is made of: an app, what its client does, and the result that it must have."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
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
    """Wait for the next message."""


@dataclass(frozen=True)
class Leave:
    """Send a close frame, and wait for the server's."""

    code: int = 1000


@dataclass(frozen=True)
class Vanish:
    """Cut the connection without a close frame."""

    reset: bool = True
    """By a reset; otherwise the end of the stream comes after what was sent."""


@dataclass(frozen=True)
class Until:
    """Read nothing until the app has noted this, or has ended."""

    note: str = ""
    """Empty: wait for its end."""


@dataclass(frozen=True)
class Pause:
    """Read nothing for so many seconds."""

    seconds: float


Early = Union[Until, Pause, Vanish]
Step = Union[Say, Hear, Leave, Vanish, Until, Pause]


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
    messages: tuple[str | bytes, ...] | None = ()
    """`None`: as many as the server sent."""


@dataclass(frozen=True)
class Gone:
    """The client itself has left, and waits for nothing."""


@dataclass(frozen=True)
class OneOf:
    """Two things happen at once: each of these is right."""

    outcomes: tuple[Outcome, ...]


Outcome = Union[Denied, Cut, Refused, Closed, Gone, OneOf]


@dataclass(frozen=True)
class Scenario:
    """One situation."""

    name: str
    clause: str
    title: str
    app: App
    client_gets: Outcome
    app_sees: tuple[str, ...] | None = ()
    """What the app noted; `None`: it depends."""
    raises: str | None = ""
    """The exception that reaches the server, and shows in its log; `None`: it depends."""
    logs: str | None = ""
    """The level and the clause of the line that the guard logs; `None`: it depends."""
    dropped: Mapping[str, Any] = field(default_factory=dict)
    """What else is expected where the server's ASGI version drops what is sent after the end (O7)."""
    early: tuple[Early, ...] = ()
    """What the client does before it waits for the answer to its handshake."""
    steps: tuple[Step, ...] = ()
    """What it does on the open websocket."""
    offers: tuple[str, ...] = ()
    """The subprotocols that the client offers."""
    guards: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the guard."""
    client_waits: float = 0.0
    """The client is done after so many seconds, not earlier."""
    app_stays: float = 0.0
    """The app has ended after so many seconds, not earlier."""
    outlives: bool = False
    """The server tells the app nothing of its client's leaving, so that it runs on: nothing is asked of it."""
    company: bool = False
    """Another client is there already, and stays meanwhile."""
