"""Every way a connection can end, by the clause of the contract that it falls under."""

from __future__ import annotations

import enum
from logging import DEBUG, ERROR, WARNING


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

    # On an open websocket
    RETURNED = "returned", "O1", DEBUG
    RAISED = "raised", "O2", ERROR
    CANCELLED = "cancelled", "O3", DEBUG
    CLOSED = "closed", "O4", DEBUG  # by the app
    LEFT = "left", "E2", DEBUG  # by the client
    IDLE_TIMEOUT = "idle_timeout", "O13", DEBUG
    MAX_LIFETIME = "max_lifetime", "O14", DEBUG
    SEND_TIMEOUT = "send_timeout", "O15", WARNING

    # After the end of either
    RAISED_AFTERWARDS = "raised_afterwards", "E3", ERROR
    OUTLIVED = "outlived", "O12", WARNING  # the app went on, and was cancelled
    ABANDONED = "abandoned", "E7", DEBUG  # the app was thrown away, as at the end of a program
