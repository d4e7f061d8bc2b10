"""The rules of one websocket: what may be sent in which state, and what is owed at the end.

Two rules hold in this file. Nothing here awaits, looks at a clock or writes a log. And nothing elsewhere decides what
the server is sent: `connection/` asks here and obeys. The tables are in `states.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from . import messages
from .denial import DenialResponse
from .exceptions import ClientDisconnected, ProtocolViolation
from .messages import CloseCode, Message
from .states import (
    DEBTS,
    ENDED,
    EVENTS,
    HOLD,
    IGNORE,
    OVER,
    RELEASE,
    RETRY_AFTER,
    TRANSITIONS,
    UNANSWERED,
    Debt,
    Ending,
    Event,
    State,
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


NOTHING = Settlement()


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
            return NOTHING
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
