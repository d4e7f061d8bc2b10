"""The states of a connection, and the two tables: its transitions, and what the server is owed at its end.

The two tables, `TRANSITIONS` and `OBLIGATIONS`, are the whole contract of one connection. `lifecycle.py` applies
them. Docs and tests read them too.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from . import messages
from .messages import CloseCode


class _Word(enum.Enum):
    """A word of the rules. `Enum` hashes the name on each lookup, which is slow, and the tables below are hot."""

    __hash__ = object.__hash__


class State(_Word):
    """The state of a connection."""

    CONNECTING = "connecting"  # the client is waiting for the answer to its handshake
    HELD = "held"  # the app has started a denial response; its start waits for the first body
    STARTED = "started"  # the start was sent, but no body: the server refused the body, or the send was cancelled
    DENYING = "denying"  # part of the body of the denial response was sent
    DISCARDING = "discarding"  # denied with 403, as the server cannot send the app's response (H9)
    OPEN = "open"
    DENIED = "denied"
    CLOSED = "closed"
    LEFT = "left"  # the client has left before it had an answer, and the server may still wait for one
    GONE = "gone"  # the client has left


# Names of their own for the hot paths, because CPython 3.13 is slow to find an attribute of an `Enum`.
CONNECTING, HELD, STARTED, DENYING, DISCARDING, OPEN, DENIED, CLOSED, LEFT, GONE = State

# Seconds after which a client may try again that was rejected because too many were connected (E9).
RETRY_AFTER = (("retry-after", "5"),)

OVER = frozenset({State.DENIED, State.CLOSED, State.LEFT, State.GONE})
SETTLED = OVER - {State.LEFT}  # the server is owed nothing, whatever the app does
UNANSWERED = frozenset({State.CONNECTING, State.HELD})  # nothing was sent to the client


class Event(_Word):
    """A message that the app can send. A body is one of two events, because only the last one ends the response."""

    ACCEPT = messages.ACCEPT
    SEND = messages.SEND
    CLOSE = messages.CLOSE
    START = messages.START
    BODY = messages.BODY
    LAST_BODY = messages.BODY + " (last)"


EVENTS = {event.value: event for event in Event}


class Action(_Word):
    """The guard's treatment of a message that the app sent."""

    FORWARD = "forward"
    HOLD = "hold"
    RELEASE = "release"  # the held start, then this body
    IGNORE = "ignore"


class Step(NamedTuple):
    """One transition: what happens to the message, and the state after it."""

    action: Action
    then: State


FORWARD, HOLD, RELEASE, IGNORE = Action.FORWARD, Action.HOLD, Action.RELEASE, Action.IGNORE

# A pair that is not in this table breaks the specification (ProtocolViolation) or, once the connection is over, comes
# too late (O7).
TRANSITIONS: Mapping[tuple[State, Event], Step] = MappingProxyType(
    {
        (State.CONNECTING, Event.ACCEPT): Step(FORWARD, State.OPEN),
        (State.CONNECTING, Event.CLOSE): Step(FORWARD, State.DENIED),
        (State.CONNECTING, Event.START): Step(HOLD, State.HELD),
        (State.HELD, Event.BODY): Step(RELEASE, State.DENYING),
        (State.HELD, Event.LAST_BODY): Step(RELEASE, State.DENIED),
        (State.STARTED, Event.BODY): Step(FORWARD, State.DENYING),
        (State.STARTED, Event.LAST_BODY): Step(FORWARD, State.DENIED),
        (State.DENYING, Event.BODY): Step(FORWARD, State.DENYING),
        (State.DENYING, Event.LAST_BODY): Step(FORWARD, State.DENIED),
        (State.DISCARDING, Event.BODY): Step(IGNORE, State.DISCARDING),
        (State.DISCARDING, Event.LAST_BODY): Step(IGNORE, State.DENIED),
        (State.OPEN, Event.SEND): Step(FORWARD, State.OPEN),
        (State.OPEN, Event.CLOSE): Step(FORWARD, State.CLOSED),
        (State.DENIED, Event.CLOSE): Step(IGNORE, State.DENIED),
        (State.CLOSED, Event.CLOSE): Step(IGNORE, State.CLOSED),
        (State.LEFT, Event.CLOSE): Step(IGNORE, State.LEFT),
        (State.GONE, Event.CLOSE): Step(IGNORE, State.GONE),
    }
)


class EndReason(_Word):
    """The reason for the end of the connection: the app has ended, a limit was reached, or it is drained."""

    RETURNED = "returned"
    RAISED = "raised"
    CANCELLED = "was cancelled"
    HANDSHAKE_TIMEOUT = "did not answer within handshake_timeout"
    IDLE_TIMEOUT = "neither sent nor got a message for idle_timeout"
    MAX_LIFETIME = "was connected for max_lifetime"
    SEND_TIMEOUT = "was stuck in a send for send_timeout"
    MAX_CONNECTIONS = "was not called: max_connections were open"
    DRAINED = "was drained"


ENDED = (EndReason.RETURNED, EndReason.RAISED, EndReason.CANCELLED)


class Obligation(NamedTuple):
    """What the server is owed at the end; `then` is the state once it is fulfilled."""

    clause: str
    then: State
    status: int | None = None  # deny with this status; for 500, the app's fault, there is the option `denial`
    code: CloseCode = CloseCode.NORMAL  # close with this code; before accept the client does not see it
    finish: bool = False  # end the response that the app has begun


OBLIGATIONS: Mapping[tuple[State, EndReason], Obligation] = MappingProxyType(
    {
        (State.CONNECTING, EndReason.RETURNED): Obligation(
            "H1", State.DENIED, status=500, code=CloseCode.INTERNAL_ERROR
        ),
        (State.CONNECTING, EndReason.RAISED): Obligation("H2", State.DENIED, status=500, code=CloseCode.INTERNAL_ERROR),
        (State.CONNECTING, EndReason.CANCELLED): Obligation(
            "H3", State.DENIED, status=503, code=CloseCode.SERVICE_RESTART
        ),
        **{(State.HELD, reason): Obligation("H7", State.DENIED, finish=True) for reason in ENDED},
        **{(State.STARTED, reason): Obligation("H7", State.DENIED, finish=True) for reason in ENDED},
        (State.DENYING, EndReason.RETURNED): Obligation("H8", State.DENIED, finish=True),
        # Left unfinished: the server cuts the connection, and the client can tell that the response is not complete.
        (State.DENYING, EndReason.RAISED): Obligation("H8", State.DENIED),
        (State.DENYING, EndReason.CANCELLED): Obligation("H8", State.DENIED),
        **{(State.DISCARDING, reason): Obligation("H9", State.DENIED) for reason in ENDED},
        **{
            (state, EndReason.HANDSHAKE_TIMEOUT): Obligation(
                "H4", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER
            )
            for state in UNANSWERED
        },
        (State.STARTED, EndReason.HANDSHAKE_TIMEOUT): Obligation("H4", State.DENIED, finish=True),
        (State.DENYING, EndReason.HANDSHAKE_TIMEOUT): Obligation("H4", State.DENIED),
        (State.DISCARDING, EndReason.HANDSHAKE_TIMEOUT): Obligation("H4", State.DENIED),
        (State.CONNECTING, EndReason.MAX_CONNECTIONS): Obligation(
            "E9", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER
        ),
        (State.CONNECTING, EndReason.DRAINED): Obligation(
            "D1", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER
        ),
        (State.HELD, EndReason.DRAINED): Obligation("D1", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER),
        (State.STARTED, EndReason.DRAINED): Obligation("D1", State.DENIED, finish=True),
        (State.DENYING, EndReason.DRAINED): Obligation("D1", State.DENIED),
        (State.DISCARDING, EndReason.DRAINED): Obligation("D1", State.DENIED),
        # Nobody receives this close, but it releases the task that waits for the answer in uvicorn's --ws websockets
        # (0.13.2, https://github.com/encode/uvicorn/issues/920).
        **{(State.LEFT, reason): Obligation("H12", State.GONE) for reason in ENDED},
        (State.OPEN, EndReason.RETURNED): Obligation("O1", State.CLOSED, code=CloseCode.NORMAL),
        (State.OPEN, EndReason.RAISED): Obligation("O2", State.CLOSED, code=CloseCode.INTERNAL_ERROR),
        (State.OPEN, EndReason.CANCELLED): Obligation("O3", State.CLOSED, code=CloseCode.SERVICE_RESTART),
        (State.OPEN, EndReason.IDLE_TIMEOUT): Obligation("O13", State.CLOSED, code=CloseCode.GOING_AWAY),
        (State.OPEN, EndReason.MAX_LIFETIME): Obligation("O14", State.CLOSED, code=CloseCode.GOING_AWAY),
        (State.OPEN, EndReason.SEND_TIMEOUT): Obligation("O15", State.CLOSED, code=CloseCode.POLICY_VIOLATION),
        (State.OPEN, EndReason.DRAINED): Obligation("D3", State.CLOSED, code=CloseCode.SERVICE_RESTART),
    }
)
