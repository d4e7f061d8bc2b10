"""The interface of a connection that a drain needs."""

from __future__ import annotations

from typing import Protocol

from ..rules.lifecycle import Answer
from ..runtime import Job


class Drainable(Protocol):
    """A connection, as a `Drainer` sees it."""

    @property
    def path(self) -> str:
        """The path that the client asked for."""

    @property
    def route(self) -> str:
        """The template of the path; empty if it is not known."""

    @property
    def client(self) -> str:
        """Host and port of the client; empty if they are not known."""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app accepted with."""

    @property
    def answered(self) -> bool:
        """Whether the app has begun to answer the handshake, or it is over."""

    @property
    def answered_after(self) -> float:
        """Seconds from the call of the app to its accept; 0 before that."""

    @property
    def is_open(self) -> bool:
        """Whether the websocket is open."""

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent to the client."""

    @property
    def app_ended(self) -> bool:
        """Whether its app has ended, so that only the server, which takes the close, and observers are awaited."""

    @property
    def outlived(self) -> bool:
        """Whether the app has outlived its client for a long time (O16)."""

    @property
    def crashed(self) -> bool:
        """Whether the connection is left to the server's crash path (O11)."""

    def drain(self, answer: Answer) -> Job | None:
        """End the connection with this answer, and return the job that sends it; `None` if it is already over."""

    def limit_exit(self, seconds: float) -> None:
        """Cancel the app this many seconds from now, and repeatedly, if the connection is over."""
