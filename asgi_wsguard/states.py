"""Where a connection can be in its life, what takes it on from there, and what is owed at its end.

The two tables, `TRANSITIONS` and `DEBTS`, are the whole contract of one connection. `lifecycle.py` applies them; docs
and tests read them too.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from . import messages
from .messages import CloseCode


class _Word(enum.Enum):
    """A word of the rules. Enum computes the hash of the name each time, and the tables below are asked often."""

    __hash__ = object.__hash__


class State(_Word):
    """Where a connection is in its life."""

    CONNECTING = "connecting"  # the client waits for the answer to its handshake
    HELD = "held"  # the app has started a denial response; its start waits for the first body
    STARTED = "started"  # the start is out, and nothing of the body: the server refused that, or it was cancelled
    DENYING = "denying"  # the body of the denial response is under way
    DISCARDING = "discarding"  # denied with 403, as the server cannot send the app's response (H9)
    OPEN = "open"
    DENIED = "denied"
    CLOSED = "closed"
    LEFT = "left"  # the client has left before it had an answer, and the server may still wait for one
    GONE = "gone"  # the client has left


# Seconds after which a client may try again that came when there were too many (E9).
RETRY_AFTER = (("retry-after", "5"),)

OVER = frozenset({State.DENIED, State.CLOSED, State.LEFT, State.GONE})
UNANSWERED = frozenset({State.CONNECTING, State.HELD})  # nothing has gone out to the client


class Event(_Word):
    """What the app can send. A body is two events, as only the last one ends the response."""

    ACCEPT = messages.ACCEPT
    SEND = messages.SEND
    CLOSE = messages.CLOSE
    START = messages.START
    BODY = messages.BODY
    LAST_BODY = messages.BODY + " (last)"


EVENTS = {event.value: event for event in Event}


class Action(_Word):
    """What the guard does with what the app sent."""

    FORWARD = "forward"
    HOLD = "hold"
    RELEASE = "release"  # the held start, then this body
    IGNORE = "ignore"


class Step(NamedTuple):
    """One transition: what happens to the message, and the state after it."""

    action: Action
    then: State


FORWARD, HOLD, RELEASE, IGNORE = Action.FORWARD, Action.HOLD, Action.RELEASE, Action.IGNORE

# What is not in here breaks the specification: ProtocolViolation; once the connection is over: ClientDisconnected.
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


class Ending(_Word):
    """What ended the connection: how the app ended, or which limit was reached."""

    RETURNED = "returned"
    RAISED = "raised"
    CANCELLED = "was cancelled"
    HANDSHAKE_TIMEOUT = "did not answer within handshake_timeout"
    IDLE_TIMEOUT = "neither sent nor got a message for idle_timeout"
    MAX_LIFETIME = "was connected for max_lifetime"
    SEND_TIMEOUT = "was stuck in a send for send_timeout"
    MAX_CONNECTIONS = "was not called: max_connections were open"
    DRAINED = "was drained"


ENDED = (Ending.RETURNED, Ending.RAISED, Ending.CANCELLED)


class Debt(NamedTuple):
    """What is owed to the server at the end; `then` is the state once it is paid."""

    clause: str
    then: State
    status: int | None = None  # deny with this; 500 is the app's fault, and may be given another response
    code: CloseCode = CloseCode.NORMAL  # close with this; before accept it is only there for form
    finish: bool = False  # end the response that the app began


DEBTS: Mapping[tuple[State, Ending], Debt] = MappingProxyType(
    {
        (State.CONNECTING, Ending.RETURNED): Debt("H1", State.DENIED, status=500, code=CloseCode.INTERNAL_ERROR),
        (State.CONNECTING, Ending.RAISED): Debt("H2", State.DENIED, status=500, code=CloseCode.INTERNAL_ERROR),
        (State.CONNECTING, Ending.CANCELLED): Debt("H3", State.DENIED, status=503, code=CloseCode.SERVICE_RESTART),
        **{(State.HELD, ending): Debt("H7", State.DENIED, finish=True) for ending in ENDED},
        **{(State.STARTED, ending): Debt("H7", State.DENIED, finish=True) for ending in ENDED},
        (State.DENYING, Ending.RETURNED): Debt("H8", State.DENIED, finish=True),
        # Left open: the server cuts the connection, and the client can tell that the response is not whole.
        (State.DENYING, Ending.RAISED): Debt("H8", State.DENIED),
        (State.DENYING, Ending.CANCELLED): Debt("H8", State.DENIED),
        **{(State.DISCARDING, ending): Debt("H9", State.DENIED) for ending in ENDED},
        **{
            (state, Ending.HANDSHAKE_TIMEOUT): Debt("H4", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER)
            for state in UNANSWERED
        },
        (State.STARTED, Ending.HANDSHAKE_TIMEOUT): Debt("H4", State.DENIED, finish=True),
        (State.DENYING, Ending.HANDSHAKE_TIMEOUT): Debt("H4", State.DENIED),
        (State.DISCARDING, Ending.HANDSHAKE_TIMEOUT): Debt("H4", State.DENIED),
        (State.CONNECTING, Ending.MAX_CONNECTIONS): Debt(
            "E9", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER
        ),
        (State.CONNECTING, Ending.DRAINED): Debt("D1", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER),
        (State.HELD, Ending.DRAINED): Debt("D1", State.DENIED, status=503, code=CloseCode.TRY_AGAIN_LATER),
        (State.STARTED, Ending.DRAINED): Debt("D1", State.DENIED, finish=True),
        (State.DENYING, Ending.DRAINED): Debt("D1", State.DENIED),
        (State.DISCARDING, Ending.DRAINED): Debt("D1", State.DENIED),
        # Nobody hears it, but it lets go what waits for the answer in uvicorn's --ws websockets.
        **{(State.LEFT, ending): Debt("H12", State.GONE) for ending in ENDED},
        (State.OPEN, Ending.RETURNED): Debt("O1", State.CLOSED, code=CloseCode.NORMAL),
        (State.OPEN, Ending.RAISED): Debt("O2", State.CLOSED, code=CloseCode.INTERNAL_ERROR),
        (State.OPEN, Ending.CANCELLED): Debt("O3", State.CLOSED, code=CloseCode.SERVICE_RESTART),
        (State.OPEN, Ending.IDLE_TIMEOUT): Debt("O13", State.CLOSED, code=CloseCode.GOING_AWAY),
        (State.OPEN, Ending.MAX_LIFETIME): Debt("O14", State.CLOSED, code=CloseCode.GOING_AWAY),
        (State.OPEN, Ending.SEND_TIMEOUT): Debt("O15", State.CLOSED, code=CloseCode.POLICY_VIOLATION),
        (State.OPEN, Ending.DRAINED): Debt("D3", State.CLOSED, code=CloseCode.SERVICE_RESTART),
    }
)
