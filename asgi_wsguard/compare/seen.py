"""Observes a visit in the server's process, at the server and on the app's side of the guard."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from contextvars import ContextVar
from typing import Any

import anyio

from asgi_wsguard import ConnectionReport, WebSocketGuardMiddleware
from asgi_wsguard.check.visits import ANSWERED, AT_REST, CALLED
from asgi_wsguard.compare.journal import PLAY, write

POLL = 0.01
"""Seconds."""
ENDS = ("websocket.close", "websocket.http.response.body")


class Visit:
    """One websocket.

    Attributes:
        answered: whether the server was given an answer to the handshake.
        over: whether the connection is over, or the app has ended.
        sent: how many messages the app has sent.
        received: how many of the client's messages the app has received.
        waiting: how many calls of its `receive` and `send` have not returned.
        app: the innermost `Seen` that was called. If the app's stack has a guard, there is one around it all, too.
    """

    def __init__(self) -> None:
        self.answered = False
        self.over = False
        self.app: Seen | None = None
        self.sent = self.received = self.waiting = 0

    def take(self, message: Any) -> None:
        """Note a message that the server is given."""
        self.answered = True
        if message["type"] in ENDS and not message.get("more_body"):
            self.over = True

    async def reach(self, note: str) -> None:
        """Wait for what a client of `check` waits for."""
        while not self._has_reached(*note.split("/")):
            await anyio.sleep(POLL)

    def _has_reached(self, kind: str, said: str = "0") -> bool:
        if kind == CALLED or self.over:
            return True
        if kind == ANSWERED:
            return self.answered
        assert kind == AT_REST
        # Before the first message, it is enough that the app sends something.
        pushes = said == "0" and self.sent > 1
        return self.answered and self.received >= int(said) and (self.waiting > 0 or pushes)


VISIT: ContextVar[Visit] = ContextVar("visit")


class Seen:
    """Wraps an app where the guard calls it, or on the bare side the server."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self.app, name)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the app."""
        visit = VISIT.get(None)
        if visit is None or scope["type"] != "websocket":
            await self.app(scope, receive, send)
            return
        called = Called(self, visit, receive, send)
        await self.app(scope, called.receive, called.send)


class Called:
    """Notes what an app receives and sends, unless there is another `Seen` inside."""

    def __init__(self, by: Seen, visit: Visit, receive: Any, send: Any) -> None:
        visit.app, visit.sent, visit.received, visit.waiting = by, 0, 0, 0
        self._by = by
        self._visit = visit
        self._receive = receive
        self._send = send

    @property
    def _counts(self) -> bool:
        return self._visit.app is self._by

    async def receive(self) -> Any:
        """Give the app its next message."""
        message = await self._waited_for(self._receive())
        self._visit.received += self._counts and message["type"] == "websocket.receive"
        return message

    async def send(self, message: Any) -> None:
        """Take a message from the app."""
        self._visit.sent += self._counts
        await self._waited_for(self._send(message))

    async def _waited_for(self, call: Any) -> Any:
        self._visit.waiting += self._counts
        try:
            return await call
        finally:
            self._visit.waiting -= self._counts


def watch_guards() -> None:
    """Observe each guard that is made from now on, and write its reports to the journal."""
    make = WebSocketGuardMiddleware.__init__

    @functools.wraps(make)
    def made(self: Any, app: Any, *, observers: Iterable[Any] = (), **options: Any) -> None:
        make(self, app, observers=[*observers, _reported], **options)
        self.app = Seen(self.app)

    WebSocketGuardMiddleware.__init__ = made  # type: ignore[method-assign]


def _reported(report: ConnectionReport) -> None:
    clauses = [*(violation.clause for violation in report.violations), report.outcome.clause]
    write("report", PLAY.get(), "", " ".join(dict.fromkeys(clauses)))
