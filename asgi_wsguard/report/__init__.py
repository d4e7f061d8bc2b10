"""What became of a connection: one report for each, which observers get and the log line is made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .outcome import Outcome

__all__ = ["ConnectionReport", "Outcome", "Violation"]


class Violation(NamedTuple):
    """One thing that an app did wrong.

    Attributes:
        clause: the id of the contract's clause, such as ``"O9"``.
        what: what it did.
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
    """What became of one websocket. There is exactly one for each websocket scope.

    Attributes:
        outcome: how it ended.
        path: the path that the client asked for.
        route: the template of the path, such as ``/rooms/{room}``, where the framework says which; else empty.
        client: host and port of the client, as the server tells them; else empty.
        subprotocol: what the app accepted with; `None` for none.
        http_version: such as ``"1.1"``.
        answered_after: seconds from the call of the app to accept, or to the end of a denial; `None` without either.
        open_for: seconds from accept to the end; `None` if the websocket was never open.
        status: the HTTP status that the handshake was denied with; `None` if it was not.
        close_code: what the open websocket was closed with; `None` if it was not closed, or never open.
        close_reason: the reason given with it.
        closed_by: who ended the connection: ``"app"``, ``"guard"`` or ``"client"``. The client, too, where the server
            cut the connection by itself, as it does not tell the two apart.
        violations: what the app did against the specification: it was repaired, or refused with `ProtocolViolation`.
            Each once, and the first ten.
        cancelled: the guard cancelled the app.
        error_type: the qualified name of the exception that came out of the app, such as ``"KeyError"``; else empty.
        error: a short text of it that stays the same from one connection to the next, without numbers and names.
        where: file and line of the app's that the report is about, where they are known.
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
