"""The sending side: what the app may send in which state, and what the server is still owed at the end.

How it works. A connection is in one of the ten states of `states.State`. A message from the app is an `Event`, and the
table `TRANSITIONS` says what is done with it, and which state follows. A pair that is not in the table breaks the ASGI
specification, or, once the connection is over, comes too late (O7). When the connection ends, the table `OBLIGATIONS`
says what the server is owed, by the state and by what ended it.

The state changes before the message is sent, so that tasks which interleave see one order. `failed` undoes a step that
the server refused.

Invariant: nothing elsewhere decides what the server is sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ..exceptions import ProtocolViolation
from . import messages
from .denial import DenialResponse
from .messages import CloseCode, Message
from .states import (
    CONNECTING,
    ENDED,
    EVENTS,
    GONE,
    HOLD,
    IGNORE,
    LEFT,
    OBLIGATIONS,
    OVER,
    RELEASE,
    RETRY_AFTER,
    TRANSITIONS,
    UNANSWERED,
    EndReason,
    Event,
    Obligation,
    State,
)


class FinalMessages(NamedTuple):
    """The messages to send at the end, and the status or code that the client gets.

    Attributes:
        clause: the clause of the contract that requires them; empty if nothing is owed.
        messages: the messages for the server, in order.
        told: the HTTP status or the close code for the client; `None` if it gets neither.
        crash: leave the obligation to the server's own crash path, by raising, instead of sending.
    """

    clause: str = ""
    messages: tuple[Message, ...] = ()
    told: int | None = None
    crash: bool = False


NOTHING = FinalMessages()
ACCEPT = Event.ACCEPT  # see `states.OPEN`


class Delivery(NamedTuple):
    """The delivery of the final messages to the server."""

    final: FinalMessages
    refusal: Exception | None = None
    """The server's error, which leaves the end to its crash path (O11)."""
    cancelled: BaseException | None = None
    """A cancellation that arrived meanwhile."""
    in_time: bool = True


class Repair(NamedTuple):
    """A message from the app that had one harmless reading, and was sent in that reading."""

    clause: str
    what: str
    done: str


class Answer(NamedTuple):
    """An answer that is not a crash, which a drain asks for, or an exception of the app, such as Starlette's."""

    denial: DenialResponse | None = None  # before accept; `None` is websocket.close, which is 403
    code: int = CloseCode.INTERNAL_ERROR
    reason: str = ""


class Policy(NamedTuple):
    """What the user has chosen.

    Attributes:
        denial: the response for an app that returns or raises before it answered (H1, H2).
        strict: refuse what could be repaired.
    """

    denial: DenialResponse
    strict: bool = False


class Lifecycle:
    """The state of one connection.

    Args:
        subprotocols: what the client offered.
        can_deny: the server has the ``websocket.http.response`` extension.
        policy: what the user has chosen.
    """

    __slots__ = ("_can_deny", "_policy", "_start", "_subprotocols", "repairs", "state")

    def __init__(self, subprotocols: Iterable[str], can_deny: bool, policy: Policy) -> None:
        self.state = CONNECTING
        self.repairs: tuple[Repair, ...] = ()
        self._subprotocols = subprotocols
        self._can_deny = can_deny
        self._policy = policy
        self._start: Message | None = None  # of the app's denial response

    # While the app runs

    def sending(self, message: Any) -> tuple[Message, ...] | None:
        """Take a message from the app, and return what goes to the server now; `None` if the connection is over (O7).

        Raises:
            ProtocolViolation: the message breaks the specification; the state is as before.
        """
        event = self._event(message)
        step = TRANSITIONS.get((self.state, event))
        if step is None:
            if self.state in OVER:
                return None
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
            self.state = LEFT if self.state in UNANSWERED else GONE

    # At the end

    def settle(self, reason: EndReason, answer: Answer | None = None, *, crash: bool = False) -> FinalMessages:
        """End the connection, and return what is still owed to the server.

        Args:
            reason: what ended it.
            answer: the answer that an exception asks for, or a drain.
            crash: where the server cannot send a denial, leave H1 and H2 to its crash path.
        """
        state = self.state
        obligation = OBLIGATIONS.get((state, reason))
        if obligation is None:
            if state in OVER and reason in ENDED:
                self.state = State.GONE  # for good: a refusal that comes late undoes nothing
            return NOTHING
        self.state = obligation.then
        if obligation.finish:
            return self._finish(state, obligation)
        if state is State.OPEN:
            code, text = (obligation.code, "") if answer is None else _closing(answer)
            return FinalMessages(obligation.clause, (_close(code, text),), code)
        if state is State.LEFT:
            return FinalMessages(obligation.clause, (_close(obligation.code),))
        if obligation.status is None:
            return FinalMessages(obligation.clause)
        return self._deny(obligation, answer, crash and not self._can_deny)

    def _deny(self, obligation: Obligation, answer: Answer | None, crash: bool) -> FinalMessages:
        code: int = obligation.code
        if answer is not None:
            denial, code = answer.denial, _closing(answer)[0]
        elif obligation.status == 503:
            denial = DenialResponse.plain(503, RETRY_AFTER if obligation.clause == "E9" else ())
        elif crash:
            return FinalMessages(obligation.clause, crash=True)
        else:
            denial = self._policy.denial
        if denial is not None and self._can_deny:
            start, body = self._response(denial, obligation)
            return FinalMessages(obligation.clause, (start, body), start["status"])
        return FinalMessages(obligation.clause, (_close(code),), 403)

    def _response(self, denial: DenialResponse, obligation: Obligation) -> tuple[Message, Message]:
        try:
            start, body = denial.messages()
            return messages.checked_start(start), messages.checked_body(body)
        except KeyboardInterrupt:
            raise
        except BaseException:  # a subclass of the user's may do anything, and the client must get an answer
            plain = DenialResponse.plain(obligation.status or 500)
            what = f"the denial response of class {type(denial).__name__} cannot be sent"
            self.repairs += (Repair(obligation.clause, what, f"the client was told {plain.status} without it"),)
            return plain.messages()

    def _finish(self, state: State, obligation: Obligation) -> FinalMessages:
        assert self._start is not None
        end: Message = {"type": messages.BODY, "body": b"", "more_body": False}
        if state is not State.HELD:
            return FinalMessages(obligation.clause, (end,), self._start["status"])
        # There is no body, so what the app said of its length is not true (H7).
        framing = (b"content-length", b"transfer-encoding")
        headers = [(name, value) for name, value in self._start["headers"] if name.lower() not in framing]
        self._start = {**self._start, "headers": headers}
        return FinalMessages(obligation.clause, self._release(end), self._start["status"] if self._can_deny else 403)

    # Helpers

    def _event(self, message: Any) -> Event:
        kind = message.get("type") if type(message) is dict or isinstance(message, Mapping) else None
        if kind == messages.BODY:
            return Event.BODY if message.get("more_body") else Event.LAST_BODY
        try:
            return EVENTS[kind]  # type: ignore[index]
        except (KeyError, TypeError):
            sent = f"of type {kind!r}" if isinstance(message, Mapping) else f"of class {type(message).__name__}"
            raise ProtocolViolation("H10", f"the app sent a message {sent}", self._expected()) from None

    def _checked(self, event: Event, message: Message) -> Message:
        if not isinstance(message, dict):
            # Another mapping works on most servers. Granian refuses it.
            checked = self._checked(event, dict(message))
            self._repair("H10", f"the app sent a message of class {type(message).__name__}", "a dict", "sent as a dict")
            return checked
        if event is ACCEPT:
            return messages.checked_accept(message, self._subprotocols, self._repair)
        if event is Event.SEND:
            return messages.checked_data(message, self._repair)
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
        self.repairs += (Repair("H9", what, "the client was told 403"),)
        if self.state is State.DENYING:
            self.state = State.DISCARDING

    def _repair(self, clause: str, what: str, expected: str, done: str) -> None:
        if self._policy.strict:
            raise ProtocolViolation(clause, what, expected)
        self.repairs += (Repair(clause, what, done),)

    def _out_of_order(self, event: Event) -> ProtocolViolation:
        clause = "O10" if self.state is State.OPEN else "H10"
        return ProtocolViolation(clause, f"the app sent {event.value} while {self.state.value}", self._expected())

    def _expected(self) -> str:
        return " or ".join(sorted({event.value for state, event in TRANSITIONS if state is self.state}))


def _close(code: int, reason: str = "") -> Message:
    return {"type": messages.CLOSE, "code": int(code), "reason": reason}


def _closing(answer: Answer) -> tuple[int, str]:
    code = messages.NEAREST_CLOSE_CODE.get(answer.code, answer.code)
    if not messages.may_be_sent(code):
        code = CloseCode.INTERNAL_ERROR
    return code, messages.cut_reason(answer.reason)
