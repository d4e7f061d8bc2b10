"""Every way a connection can end, by the clause of the contract that it falls under."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from logging import DEBUG, ERROR, WARNING
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..messages import CLOSE, Message
from ..states import OVER, State

if TYPE_CHECKING:
    from ..lifecycle import Settlement, Verdict


class Outcome(enum.Enum):
    """How a connection ended. The value is a word for a label of a metric.

    Attributes:
        clause: the id of the clause, such as ``"H1"``.
        level: how the log takes it: ``ERROR`` is the app's fault, ``WARNING`` odd, ``DEBUG`` everyday.
    """

    clause: str
    level: int

    def __new__(cls, word: str, clause: str, level: int) -> Outcome:
        """Make a member of its word alone."""
        member = object.__new__(cls)
        member._value_ = word
        member.clause = clause
        member.level = level
        return member

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
    CANCELLED = "cancelled", "O3", DEBUG
    CLOSED = "closed", "O4", DEBUG  # by the app
    LEFT = "left", "E2", DEBUG  # by the client
    IDLE_TIMEOUT = "idle_timeout", "O13", DEBUG
    MAX_LIFETIME = "max_lifetime", "O14", DEBUG
    SEND_TIMEOUT = "send_timeout", "O15", WARNING
    DRAINED = "drained", "D3", DEBUG  # closed by the drainer

    # After the end of either
    RAISED_AFTERWARDS = "raised_afterwards", "O2", ERROR
    OUTLIVED = "outlived", "O12", WARNING  # the app went on, and was cancelled
    ABANDONED = "abandoned", "E7", DEBUG  # the app was thrown away, as at the end of a program


BY_CLAUSE: Mapping[str, Outcome] = MappingProxyType({outcome.clause: outcome for outcome in reversed(Outcome)})

# Who ended the connection; all others the guard ended.
APPS = frozenset(
    {
        Outcome.REFUSED,
        Outcome.DENIED,
        Outcome.DENIED_WITHOUT_BODY,
        Outcome.DENIED_IN_PART,
        Outcome.DENIED_WITHOUT_EXTENSION,
        Outcome.CLOSED,
    }
)
CLIENTS = frozenset({Outcome.LEFT_UNANSWERED, Outcome.LEFT})


def outcome_of(
    state: State, settlement: Settlement, verdict: Verdict | None, accept: Message | None, final: Message | None
) -> Outcome:
    """Tell how the connection itself ended, whatever the app did after that.

    Args:
        state: where it was before it was settled.
        settlement: what was owed then.
        verdict: the answer that the app's exception asked for by itself.
        accept: what the app accepted with.
        final: what the app ended it with.
    """
    if verdict is not None and settlement.clause:
        if state is State.OPEN:
            return Outcome.CLOSED
        return Outcome.REFUSED if verdict.denial is None else Outcome.DENIED
    if settlement.clause:
        return BY_CLAUSE[settlement.clause]
    if state is State.CLOSED:
        return Outcome.CLOSED
    if state is State.DENIED:
        return Outcome.REFUSED if final is not None and final["type"] == CLOSE else Outcome.DENIED
    if state in OVER:
        return Outcome.LEFT_UNANSWERED if accept is None else Outcome.LEFT
    return Outcome.ABANDONED
