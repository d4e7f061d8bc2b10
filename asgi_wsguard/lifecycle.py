"""The rules of one websocket: what may be sent in which state, and what is owed at the end.

Two rules hold in this file. Nothing here awaits, looks at a clock or writes a log. And nothing elsewhere decides what
the server is sent: `connection/` asks here and obeys. The tables below are the whole contract of one connection;
docs and tests read them too.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from . import messages
from .denial import DenialResponse
from .exceptions import ClientDisconnected, ProtocolViolation
from .messages import CloseCode, Message


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


@dataclass(frozen=True)
class Settlement:
    """What to send at the end, and what the client learns by it.

    Attributes:
        clause: the clause of the contract that asks for it; empty where nothing is owed.
        messages: what to send to the server, in order.
        told: the HTTP status or the close code for the client; `None` where it is told nothing.
        crash: hand the debt to the server's own crash path, by raising, instead of sending.
    """

    clause: str = ""
    messages: tuple[Message, ...] = ()
    told: int | None = None
    crash: bool = False


class Repaired(NamedTuple):
    """A message of the app's that had one harmless reading, and was sent so."""

    clause: str
    what: str
    done: str


class Verdict(NamedTuple):
    """An answer that is no crash: what an exception of the app's asks for by itself, as Starlette's do, or a drain."""

    denial: DenialResponse | None = None  # before accept; `None` is websocket.close, which is 403
    code: int = CloseCode.INTERNAL_ERROR
    reason: str = ""


class Lifecycle:
    """The state of one connection.

    Args:
        subprotocols: what the client offered.
        can_deny: the server has the ``websocket.http.response`` extension.
        strict: refuse what could be repaired.
        denial: the response for an app that returns or raises before it answered (H1, H2).
        crash: where the server has no extension, leave H1 and H2 to its crash path.
    """

    __slots__ = ("_can_deny", "_crash", "_denial", "_start", "_strict", "_subprotocols", "repairs", "state")

    def __init__(
        self, subprotocols: Iterable[str], *, can_deny: bool, strict: bool, denial: DenialResponse, crash: bool
    ) -> None:
        self.state = State.CONNECTING
        self.repairs: tuple[Repaired, ...] = ()
        self._subprotocols = subprotocols
        self._can_deny = can_deny
        self._strict = strict
        self._denial = denial
        self._crash = crash
        self._start: Message | None = None  # of the app's denial response

    # While the app runs

    def sending(self, message: Any) -> tuple[Message, ...]:
        """Take a message of the app's and return what goes to the server now.

        Raises:
            ProtocolViolation: the message breaks the specification; the state is as before.
            ClientDisconnected: the connection is over.
        """
        event = self._event(message)
        step = TRANSITIONS.get((self.state, event))
        if step is None:
            if self.state in OVER:
                raise ClientDisconnected(f"{event.value} after the connection was {self.state.value}")
            raise self._out_of_order(event)
        if step.action is IGNORE:
            self.state = step.then
            return ()
        checked = self._checked(event, message)
        self.state = step.then
        if step.action is HOLD:
            self._start = checked
            return ()
        if step.action is RELEASE:
            if not self._can_deny:
                self._discard()
            return self._release(checked)
        return (checked,)

    def failed(self, before: State, after: State, sent: int, *, refused: bool) -> None:
        """Undo a step as far as its messages did not reach the server.

        Args:
            before: the state before the step.
            after: the state since.
            sent: how many messages of the step the server took.
            refused: the server refused the next one with an error. Otherwise the send was cancelled, and as servers
                act first and wait after, the message counts as sent.
        """
        if self.state is not after:
            return  # another task has gone on from there
        if before is State.HELD:
            out = sent if refused else sent + 1
            if out == 0:
                # A start that the server refuses once, it refuses again: back to no answer at all.
                self.state = State.CONNECTING
            elif out == 1 and self._can_deny:
                self.state = State.STARTED
        elif refused:
            self.state = before

    def left(self) -> None:
        """Note that the client has gone, as the server said."""
        if self.state not in OVER:
            self.state = State.LEFT if self.state in UNANSWERED else State.GONE

    # At the end

    def settle(self, ending: Ending, verdict: Verdict | None = None) -> Settlement:
        """End the connection, and return what is still owed to the server."""
        state = self.state
        debt = DEBTS.get((state, ending))
        if debt is None:
            if state in OVER and ending in ENDED:
                self.state = State.GONE  # for good: a refusal that comes late undoes nothing
            return Settlement()
        self.state = debt.then
        if debt.finish:
            return self._finish(state, debt)
        if state is State.OPEN:
            code, reason = (debt.code, "") if verdict is None else _closing(verdict)
            return Settlement(debt.clause, (_close(code, reason),), code)
        if state is State.LEFT:
            return Settlement(debt.clause, (_close(debt.code),))
        if debt.status is None:
            return Settlement(debt.clause)
        return self._deny(debt, verdict)

    def _deny(self, debt: Debt, verdict: Verdict | None) -> Settlement:
        code: int = debt.code
        crash = False
        if verdict is not None:
            denial, code = verdict.denial, _closing(verdict)[0]
        elif debt.status == 503:
            denial = DenialResponse.plain(503, RETRY_AFTER if debt.clause == "E9" else ())
        else:
            denial, crash = self._denial, self._crash and not self._can_deny
        if crash:
            return Settlement(debt.clause, crash=True)
        if denial is not None and self._can_deny:
            return Settlement(debt.clause, denial.messages(), denial.status)
        return Settlement(debt.clause, (_close(code),), 403)

    def _finish(self, state: State, debt: Debt) -> Settlement:
        assert self._start is not None
        end: Message = {"type": messages.BODY, "body": b"", "more_body": False}
        if state is not State.HELD:
            return Settlement(debt.clause, (end,), self._start["status"])
        # There is no body, so what the app said of its length is not true (H7).
        framing = (b"content-length", b"transfer-encoding")
        headers = [(name, value) for name, value in self._start["headers"] if name.lower() not in framing]
        self._start = {**self._start, "headers": headers}
        return Settlement(debt.clause, self._release(end), self._start["status"] if self._can_deny else 403)

    # Helpers

    def _event(self, message: Any) -> Event:
        kind = message.get("type") if isinstance(message, dict) else None
        if kind == messages.BODY:
            return Event.BODY if message.get("more_body") else Event.LAST_BODY
        try:
            return EVENTS[kind]  # type: ignore[index]
        except (KeyError, TypeError):
            sent = f"a message of type {kind!r}" if isinstance(message, dict) else f"{type(message).__name__}, no dict"
            raise ProtocolViolation("H10", f"the app sent {sent}", self._expected()) from None

    def _checked(self, event: Event, message: Message) -> Message:
        if event is Event.ACCEPT:
            return messages.checked_accept(message, self._subprotocols, self._repair)
        if event is Event.SEND:
            return messages.checked_data(message)
        if event is Event.START:
            return messages.checked_start(message)
        if event is Event.CLOSE:
            # Before accept the code never reaches the client: the answer is 403, whatever it is.
            return messages.checked_close(message, self._repair) if self.state is State.OPEN else message
        return messages.checked_body(message)

    def _release(self, body: Message) -> tuple[Message, ...]:
        assert self._start is not None
        return (self._start, body) if self._can_deny else (_close(CloseCode.NORMAL),)

    def _discard(self) -> None:
        assert self._start is not None
        what = f"the app denied with status {self._start['status']}, which this server cannot send"
        self.repairs += (Repaired("H9", what, "the client was told 403"),)
        if self.state is State.DENYING:
            self.state = State.DISCARDING

    def _repair(self, clause: str, what: str, expected: str, done: str) -> None:
        if self._strict:
            raise ProtocolViolation(clause, what, expected)
        self.repairs += (Repaired(clause, what, done),)

    def _out_of_order(self, event: Event) -> ProtocolViolation:
        clause = "O10" if self.state is State.OPEN else "H10"
        return ProtocolViolation(clause, f"the app sent {event.value} while {self.state.value}", self._expected())

    def _expected(self) -> str:
        return " or ".join(sorted({event.value for state, event in TRANSITIONS if state is self.state}))


def _close(code: int, reason: str = "") -> Message:
    return {"type": messages.CLOSE, "code": int(code), "reason": reason}


def _closing(verdict: Verdict) -> tuple[int, str]:
    code = messages.NEAREST_CLOSE_CODE.get(verdict.code, verdict.code)
    if not messages.may_be_sent(code):
        code = CloseCode.INTERNAL_ERROR
    return code, messages.cut_reason(verdict.reason)
