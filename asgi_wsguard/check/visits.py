"""The ways in which a client behaves. They are the same in memory and on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asgi_wsguard.probe.model import Early, Leave, Say, Step, Until, Vanish

# The states that a client waits for; see `VisitedApp.reach`.
CALLED = "called"
ANSWERED = "answered"
AT_REST = "at-rest"


@dataclass(frozen=True)
class Question:
    """The handshake and the messages of each client."""

    path: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    subprotocols: tuple[str, ...] = ()
    messages: tuple[str, ...] = ()
    host: str = ""
    """The host that has the route; empty for any host."""
    timeout: float = 5.0
    """Seconds that the app has to answer, to receive a message, and to end."""

    @property
    def place(self) -> str:
        """Return the host and the path, without the query, which may hold secrets."""
        return self.host + self.path.partition("?")[0]

    @property
    def sent(self) -> tuple[tuple[str, str], ...]:
        """Return the headers, with the route's host unless they name another."""
        named = not self.host or any(name.lower() == "host" for name, _ in self.headers)
        return self.headers if named else (("host", self.host), *self.headers)


@dataclass(frozen=True)
class Visit:
    """The behaviour of one client."""

    steps: tuple[Step, ...] = ()
    """On the open websocket."""
    early: tuple[Early, ...] = (Until(ANSWERED),)
    """While it waits for the answer to its handshake."""
    reads: bool = True
    """Whether it reads. Only in memory does it not: a real server's buffers take all that most apps send."""


PLAIN = Visit((Until(f"{AT_REST}/0"), Leave()))


def visits(messages: tuple[str, ...], *, opens: bool) -> Iterator[Visit]:
    """Return the visits after the plain one, depending on whether that one has opened the websocket."""
    yield Visit(early=(Until(CALLED), Vanish()))
    if not opens:
        return
    talk = [step for said, text in enumerate(messages, 1) for step in (Say(text), Until(f"{AT_REST}/{said}"))]
    if talk:
        yield Visit((*talk, Leave()))
    vanishes = (Until(f"{AT_REST}/0"), *talk, Vanish())
    yield Visit(vanishes)
    yield Visit(vanishes, reads=False)
