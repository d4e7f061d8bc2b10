"""The parts of a scenario: an app, the steps of its client, and the expected result."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Callable, Union

Message = Any
Scope = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Coroutine[Any, Any, None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


# The client's steps.


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
    """By a reset; else by the end of the stream, after what was sent."""


@dataclass(frozen=True)
class Until:
    """Read nothing until the app has noted this, or has ended."""

    note: str = ""
    """Empty: until it has ended."""


@dataclass(frozen=True)
class Pause:
    """Read nothing for so many seconds."""

    seconds: float


Early = Union[Until, Pause, Vanish]
Step = Union[Say, Hear, Leave, Vanish, Until, Pause]


# The outcome for the client.


@dataclass(frozen=True)
class Denied:
    """The handshake is denied. The status is 403 where the server has no denial extension."""

    status: int
    body: bytes | None = b""
    """`None`: any text of the server's."""
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Cut:
    """The denial breaks off inside its body, and the client can tell."""

    status: int


@dataclass(frozen=True)
class Refused:
    """The answer is illegal, and the client refuses it. No scenario expects this, but some old servers do it."""

    fault: str


@dataclass(frozen=True)
class Closed:
    """The websocket was open, and is closed with a close frame."""

    code: int
    reason: str = ""
    messages: tuple[str | bytes, ...] | None = ()
    """`None`: any number."""


@dataclass(frozen=True)
class Gone:
    """The client has left, and waits for nothing."""


@dataclass(frozen=True)
class OneOf:
    """One of several, because two things happen at once."""

    outcomes: tuple[Outcome, ...]


Outcome = Union[Denied, Cut, Refused, Closed, Gone, OneOf]


@dataclass(frozen=True)
class Scenario:
    """One misbehaving app, its client, and the expected result."""

    name: str
    clause: str
    title: str
    app: App
    client_gets: Outcome
    app_sees: tuple[str, ...] | None = ()
    """The app's notes; `None`: any."""
    raises: str | None = ""
    """The exception that reaches the server, and shows in its log; `None`: any."""
    logs: str | None = ""
    """The level and the clause of the guard's log line; `None`: any."""
    dropped: Mapping[str, Any] = field(default_factory=dict)
    """What to expect instead where the server's ASGI version drops what is sent after the end (O7)."""
    early: tuple[Early, ...] = ()
    """The client's steps before it waits for the answer to its handshake."""
    steps: tuple[Step, ...] = ()
    """Its steps on the open websocket."""
    offers: tuple[str, ...] = ()
    """The subprotocols that the client offers."""
    guards: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    """The guard's options."""
    client_waits: float = 0.0
    """The client is done after this many seconds, not earlier."""
    app_stays: float = 0.0
    """The app has ended after this many seconds, not earlier."""
    outlives: bool = False
    """The server does not tell the app that its client has left, so the app keeps running. It is not judged."""
    company: bool = False
    """Another client is connected before, and stays meanwhile."""
