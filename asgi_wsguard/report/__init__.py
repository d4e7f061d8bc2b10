"""The report of a connection, which observers receive and from which the log line is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from .outcome import Outcome

__all__ = ["ConnectionReport", "Outcome", "Violation"]


class Violation(NamedTuple):
    """One thing that an app did wrong.

    Attributes:
        clause: the id of the contract's clause, such as ``"O9"``.
        what: what the app did.
        where: file and line, or empty.
    """

    clause: str
    what: str
    where: str = ""

    def __str__(self) -> str:
        clause = f"[{self.clause}] " if self.clause else ""
        return clause + self.what + (f" ({self.where})" if self.where else "")


@dataclass(frozen=True)
class ConnectionReport:
    """The report of one websocket. There is exactly one for each websocket scope.

    Attributes:
        outcome: how the connection ended.
        path: the path that the client asked for.
        route: the template of the path, such as ``/rooms/{room}``, if the framework tells it; else empty.
        client: host and port of the client, if the server tells them; else empty.
        subprotocol: the subprotocol that the app accepted with; `None` for none.
        http_version: the version of HTTP, such as ``"1.1"``.
        answered_after: seconds from the call of the app to accept, or to the end of a denial; `None` without either.
        open_for: seconds from accept to the end; `None` if the websocket was never open.
        status: the HTTP status with which the handshake was denied; `None` if it was not denied.
        close_code: the close code of the open websocket; `None` if it was not closed, or never open.
        close_reason: the close reason; empty for none.
        closed_by: the side that ended the connection: ``"app"``, ``"guard"``, ``"client"``, or ``"server"`` if it
            closed because it is stopping. ``"client"`` also if the server cut the connection, because it does not tell
            the two apart. Empty if the program ended with the connection open.
        violations: what the app did against the specification, and the guard repaired, or refused with
            `ProtocolViolation`. Each once, and at most ten.
        cancelled: whether the guard cancelled the app.
        error_type: the qualified name of the type of the app's exception, such as ``"KeyError"``; else empty.
        error: a short text of it that stays the same from one connection to the next, without numbers and names.
        where: file and line in the app that the report is about, if known; else empty.
    """

    __slots__ = (
        "answered_after",
        "cancelled",
        "client",
        "close_code",
        "close_reason",
        "closed_by",
        "error",
        "error_type",
        "http_version",
        "open_for",
        "outcome",
        "path",
        "route",
        "status",
        "subprotocol",
        "violations",
        "where",
    )

    outcome: Outcome
    path: str
    route: str
    client: str
    subprotocol: str | None
    http_version: str
    answered_after: float | None
    open_for: float | None
    status: int | None
    close_code: int | None
    close_reason: str
    closed_by: str
    violations: tuple[Violation, ...]
    cancelled: bool
    error_type: str
    error: str
    where: str

    def __reduce__(self) -> tuple[type[ConnectionReport], tuple[object, ...]]:
        # A frozen dataclass with slots cannot be unpickled without, before Python 3.11.
        return type(self), tuple(getattr(self, name) for name in self.__dataclass_fields__)


class Draft:
    """A report that is not finished yet."""

    # To fill in a frozen dataclass takes four times as long as one that is frozen afterwards.
    __slots__ = ConnectionReport.__slots__


def finished(draft: Any) -> ConnectionReport:
    """Return the draft as a report: from now on it is frozen."""
    draft.__class__ = ConnectionReport
    return cast("ConnectionReport", draft)
