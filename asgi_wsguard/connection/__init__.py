"""One websocket: the rules applied to the live `receive` and `send`. Every await on the server is in this folder."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Callable

import anyio

from ..endings import Meaning, meaning
from ..exceptions import ProtocolViolation
from ..lifecycle import Lifecycle, Settlement, Verdict
from ..messages import SEND, Message
from ..report import ConnectionReport, Outcome
from ..report.log import Paid
from ..states import OVER, Ending, State
from .receiving import Receive
from .reporting import Reporting
from .sending import Send, disconnect_after

if TYPE_CHECKING:
    from ..middleware import Options
    from ..runtime import Job

RETURNED = Meaning(Ending.RETURNED)

App = Callable[[Message, Receive, Send], Awaitable[None]]


class Connection(Reporting):
    """One websocket scope, from the call of the app to its end."""

    __slots__ = ("_answer", "_limit", "_stopped", "_telling")

    def __init__(self, app: App, scope: Message, receive: Receive, send: Send, options: Options) -> None:
        lifecycle = Lifecycle(
            scope.get("subprotocols") or (),
            can_deny="websocket.http.response" in (scope.get("extensions") or ()),
            strict=options.strict,
            denial=options.denial,
            crash=options.without_extension == "raise",
        )
        super().__init__(app, scope, receive, send, lifecycle, options)
        self._stopped = False  # the app has ended
        self._answer: Job | None = None  # sends what is owed at a deadline
        self._limit: Paid | None = None  # what became of that
        self._telling: Job | None = None  # tells the observers, although the app goes on

    def _moved(self) -> None:
        """Follow the state."""
        state = self._lifecycle.state
        self._open = SEND if state is State.OPEN else None
        if state is State.HELD and self._lock is None:
            self._lock = anyio.Lock()
        if not self._stopped:
            now = self.runtime.now()
            self._deadlines.follow(state, now)
            self._arm(self._deadlines.next(now))
        for repair in self._lifecycle.repairs:
            self._note(*repair)
        self._lifecycle.repairs = ()

    # At a deadline

    def _look(self) -> None:
        """Look at the clocks, and whether the app waits for a message."""
        now, deadlines = self.runtime.now(), self._deadlines
        self._timer, self._timer_at = None, math.inf
        self._attend_next()
        ending = deadlines.reached(now)
        if ending is not None:
            self._end(ending)
        elif deadlines.ended == math.inf:
            if self._receiver is None or (self._always_ahead and not (self._fetch or self._kept)):
                self._receive_ahead()
        else:
            if deadlines.must_tell(now):
                self._tell()
            if deadlines.must_cancel(now):
                self._overran()
        self._arm(deadlines.next(now))

    def _end(self, ending: Ending, verdict: Verdict | None = None) -> None:
        """End the connection at a deadline: the answer first, from outside the app's task, then what the app sees."""
        was_open = self.is_open
        settlement = self._lifecycle.settle(ending, verdict)
        if was_open:
            self._disconnect = disconnect_after(settlement.messages[0])
            self._tell()
            # Before the close: uvicorn's legacy implementation takes no other message while one is stuck.
            for caller in self._deadlines.sends:
                self.runtime.interrupt(caller)
        elif ending is Ending.DRAINED:
            self._tell_if_denied()
        self._answer = self.runtime.start(partial(self._end_now, ending, settlement), self._ended)
        self._moved()

    async def _end_now(self, ending: Ending, settlement: Settlement) -> None:
        limit = self._limit = await self._owed(settlement, partial(self._send_all, settlement.messages))
        if not self._stopped:
            if ending in (Ending.HANDSHAKE_TIMEOUT, Ending.SEND_TIMEOUT):
                self._where = self._waits()
            if ending is Ending.HANDSHAKE_TIMEOUT or limit.refusal is not None:
                self.runtime.cancel()
        if ending is Ending.HANDSHAKE_TIMEOUT:
            self._tell_meanwhile(self._report(State.CONNECTING, limit, Meaning(ending)))

    def _ended(self) -> None:
        self._answer = None

    def _overran(self) -> None:
        """Cancel the app, which has gone on for too long after the end."""
        paid = self._limit or Paid(Settlement())
        how = Meaning(Ending.CANCELLED)
        self._tell_meanwhile(self._report(self._lifecycle.state, paid, how, after=Outcome.OUTLIVED))
        self.runtime.cancel()
        if self._options.drainer is not None:
            self._options.drainer.overran(self)

    def _tell_meanwhile(self, report: ConnectionReport | None) -> None:
        """Tell the observers, although the app goes on."""
        if report is not None:
            self._telling = self.runtime.start(partial(self._tell_observers, report), self._told_observers)

    async def _tell_observers(self, report: ConnectionReport) -> None:
        await self._options.observers.tell(report, self._options.close_timeout)

    def _told_observers(self) -> None:
        self._telling = None

    # For the drainer

    @property
    def answered(self) -> bool:
        """Whether the app has begun to answer the handshake, or it is over."""
        return self._lifecycle.state is not State.CONNECTING

    @property
    def is_open(self) -> bool:
        """Whether the websocket is open."""
        return self._lifecycle.state is State.OPEN

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent to the client."""
        return self._lifecycle.state in OVER

    @property
    def crashed(self) -> bool:
        """Whether the server has refused the answer at a deadline, so that its crash path ends the connection (O11)."""
        return self._limit is not None and self._limit.refusal is not None

    @property
    def answered_after(self) -> float:
        """Seconds from the call of the app to its accept."""
        return self._deadlines.opened - self._deadlines.began

    def drain(self, verdict: Verdict) -> Job | None:
        """End the connection with this answer, and return what sends it; `None` if it is over already."""
        if not self.over:
            self._end(Ending.DRAINED, verdict)
            return self._answer
        return None

    # When the app has ended, or is not called

    async def refused(self, ending: Ending, verdict: Verdict | None = None) -> None:
        """Settle without calling the app: there are too many connections (E9), or none is let in (D1).

        Raises:
            Exception: the server's refusal, for its crash path (O11).
        """
        paid = await self._settled(Meaning(ending), verdict=verdict)
        failure = paid.refusal or paid.cancelled
        if failure is not None:
            raise failure

    async def returned(self) -> None:
        """Settle after the app returned.

        Raises:
            ProtocolViolation: the answer is left to the server's crash path (`without_extension="raise"`).
            Exception: the server's refusal, for its crash path (O11).
        """
        paid = await self._settled(RETURNED)
        if paid.settlement.crash:
            what = "the app returned without answering the handshake"
            raise ProtocolViolation(paid.settlement.clause, what, "an accept, a close or a denial")
        failure = paid.refusal or paid.cancelled
        if failure is not None:
            raise failure

    async def failed(self, exc: BaseException) -> bool:
        """Settle after the app raised; tell whether its exception goes on to the server."""
        how = meaning(exc, self._lifecycle.state, self._server_error)
        paid = await self._settled(how, exc)
        if paid.refusal is not None:
            # What the guard could not end it hands to the server's crash path (O11). An exception of the app's gets
            # there by itself; a cancellation does not.
            if how.ending is Ending.CANCELLED:
                raise paid.refusal
            return True
        if how.handled and paid.cancelled is not None:
            raise paid.cancelled
        return not how.handled

    def abandoned(self) -> None:
        """End without a word: the coroutine is being thrown away, and nothing may be awaited any more."""
        state = self._lifecycle.state
        self._lifecycle.settle(Ending.CANCELLED)
        self._tell_of_abandoned(state)
        with contextlib.suppress(RuntimeError):  # the event loop may be closed, and a task of the app's still receive
            self._stop()

    def _tell_of_abandoned(self, state: State) -> None:
        report = self._report(state, Paid(Settlement()), Meaning(Ending.CANCELLED))
        if report is not None:
            self._options.observers.tell_now(report)

    async def _settled(self, how: Meaning, exc: BaseException | None = None, verdict: Verdict | None = None) -> Paid:
        """Send what is owed, and say what became of the connection."""
        state = self._lifecycle.state
        try:
            paid = await self._pay(self._lifecycle.settle(how.ending, verdict or how.verdict))
        except GeneratorExit:
            self._tell_of_abandoned(state)
            raise
        if self._limit is not None:
            paid = self._limit._replace(refusal=paid.refusal or self._limit.refusal, cancelled=paid.cancelled)
        after = None
        if exc is not None and how.ending is Ending.RAISED and not how.handled and (self._limit or state in OVER):
            after = Outcome.RAISED_AFTERWARDS
        report = self._report(state, paid, how, exc, after)
        if report is None and self._telling is None:
            return paid
        try:
            await self.runtime.shielded(None, partial(self._leave_observers, report))
        except GeneratorExit:
            raise
        except BaseException as cancelled:
            return paid._replace(cancelled=paid.cancelled or cancelled)
        return paid

    async def _leave_observers(self, report: ConnectionReport | None) -> None:
        if report is not None:
            await self._tell_observers(report)
        if self._telling is not None:
            await self.runtime.finished(self._telling)

    def _stop(self) -> None:
        """Stop the clocks, and what receives ahead: the app has ended."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, -math.inf
        self._send_data = self._stoppable_send = self._server_send  # they may have been methods of this very object
        self._tell()

    async def _pay(self, settlement: Settlement) -> Paid:
        """Send what is owed, now that the app has ended."""
        self._stop()
        self._moved()
        try:
            if settlement.messages or self._answer or self._fetch or (self._lock is not None and self._lock.locked()):
                return await self._owed(settlement, partial(self._leave, settlement.messages))
            return Paid(settlement)
        finally:
            self._paid = True
            self._server_error = None  # it refers to the frames that it came through, and so to this

    async def _owed(self, settlement: Settlement, call: Callable[[], Awaitable[None]]) -> Paid:
        try:
            in_time = await self.runtime.shielded(self._options.close_timeout, call)
        except GeneratorExit:
            raise
        except OSError:
            return Paid(settlement)  # The client has left: nothing is owed any more.
        except Exception as exc:
            return Paid(settlement, exc if settlement.told else None)
        except BaseException as exc:
            return Paid(settlement, cancelled=exc)
        return Paid(settlement, in_time=in_time or not settlement.clause)

    async def _leave(self, messages: tuple[Message, ...]) -> None:
        """Send the messages, and leave nothing behind."""
        if self._answer is not None:
            await self.runtime.finished(self._answer)
        await self._send_all(messages)
        if self._fetch is not None:
            await self.runtime.finished(self._fetch)
