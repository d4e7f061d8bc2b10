"""The outcomes of a connection, each with its clause of the contract."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from logging import DEBUG, ERROR, WARNING
from types import MappingProxyType

from ..rules.lifecycle import Answer, FinalMessages
from ..rules.messages import CLOSE, Message
from ..rules.states import OVER, State


class Outcome(enum.Enum):
    """The outcome of a connection. The value is a word for a metric's label.

    Attributes:
        clause: the id of the clause, such as ``"H1"``.
        level: how the log takes it: ``ERROR`` is the app's fault, ``WARNING`` odd, ``DEBUG`` everyday.
    """

    clause: str
    level: int

    def __new__(cls, word: str, clause: str, level: int) -> Outcome:
        """Make a member whose value is only the word."""
        member = object.__new__(cls)
        member._value_ = word
        member.clause = clause
        member.level = level
        return member

    __hash__ = object.__hash__  # `Enum` hashes the name on each lookup, which is slow

    # Before the handshake was answered
    RETURNED_UNANSWERED = "returned_unanswered", "H1", ERROR
    RAISED_UNANSWERED = "raised_unanswered", "H2", ERROR
    CANCELLED_UNANSWERED = "cancelled_unanswered", "H3", DEBUG
    HANDSHAKE_TIMEOUT = "handshake_timeout", "H4", ERROR
    REFUSED = "refused", "H5", DEBUG  # by websocket.close
    DENIED = "denied", "H6", DEBUG  # by a response
    DENIED_WITHOUT_BODY = "denied_without_body", "H7", ERROR
    DENIED_IN_PART = "denied_in_part", "H8", ERROR
    DENIED_WITHOUT_EXTENSION = "denied_without_extension", "H9", WARNING
    LEFT_UNANSWERED = "left_unanswered", "H12", DEBUG  # by the client
    MAX_CONNECTIONS = "max_connections", "E9", WARNING
    TURNED_AWAY = "turned_away", "D1", DEBUG  # while draining

    # On an open websocket
    RETURNED = "returned", "O1", DEBUG
    RAISED = "raised", "O2", ERROR
    CLOSE_REFUSED = "close_refused", "O11", ERROR  # by the server, which does not send that code
    CANCELLED = "cancelled", "O3", DEBUG
    CLOSED = "closed", "O4", DEBUG  # by the app
    LEFT = "left", "E2", DEBUG  # by the client
    STOPPED = "stopped", "E2", DEBUG  # closed by the server, which is stopping
    IDLE_TIMEOUT = "idle_timeout", "O13", DEBUG
    MAX_LIFETIME = "max_lifetime", "O14", DEBUG
    SEND_TIMEOUT = "send_timeout", "O15", WARNING
    DRAINED = "drained", "D3", DEBUG  # closed by the drainer

    # After the end of either
    RAISED_AFTERWARDS = "raised_afterwards", "O2", ERROR
    OUTLIVED = "outlived", "O12", WARNING  # the app kept running, unaware of the end, and was cancelled
    OVERSTAYED = "overstayed", "O16", WARNING  # it knew, and was cancelled
    ABANDONED = "abandoned", "E7", DEBUG  # the app was discarded, as at the end of a program


BY_CLAUSE: Mapping[str, Outcome] = MappingProxyType({outcome.clause: outcome for outcome in reversed(Outcome)})

# The side that ended the connection, where that was not the guard.
CLOSED_BY: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.REFUSED: "app",
        Outcome.DENIED: "app",
        Outcome.DENIED_WITHOUT_BODY: "app",
        Outcome.DENIED_IN_PART: "app",
        Outcome.DENIED_WITHOUT_EXTENSION: "app",
        Outcome.CLOSED: "app",
        Outcome.LEFT_UNANSWERED: "client",
        Outcome.LEFT: "client",
        Outcome.STOPPED: "server",
        Outcome.ABANDONED: "",
    }
)


def outcome_of(
    state: State, final: FinalMessages, answer: Answer | None, accept: Message | None, last: Message | None
) -> Outcome:
    """Return the outcome of the connection itself, whatever the app did after that.

    Args:
        state: where it was before it ended.
        final: what the server was owed then.
        answer: what the app's exception asked for.
        accept: what the app accepted with.
        last: what the app ended it with.
    """
    if answer is not None and final.clause:
        if state is State.OPEN:
            return Outcome.CLOSED
        return Outcome.REFUSED if answer.denial is None else Outcome.DENIED
    if final.clause:
        return BY_CLAUSE[final.clause]
    if state is State.CLOSED:
        return Outcome.CLOSED
    if state is State.DENIED:
        return Outcome.REFUSED if last is not None and last["type"] == CLOSE else Outcome.DENIED
    if state in OVER:
        return Outcome.LEFT_UNANSWERED if accept is None else Outcome.LEFT
    return Outcome.ABANDONED
