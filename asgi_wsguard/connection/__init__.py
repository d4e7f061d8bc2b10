"""One websocket: the rules applied to the live `receive` and `send`. Every await on the server is in this folder."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Callable, NamedTuple

import anyio

from ..endings import Meaning, meaning
from ..exceptions import ProtocolViolation
from ..lifecycle import Ending, Lifecycle, Settlement, State
from ..messages import SEND, Message
from ..report import log as report
from .receiving import Receive
from .sending import Send, Sending, disconnect_after

if TYPE_CHECKING:
    from ..middleware import Options
    from ..runtime import Job

App = Callable[[Message, Receive, Send], Awaitable[None]]


class Paid(NamedTuple):
    """What became of a settlement: what it came to, the server's refusal, a cancellation that came meanwhile."""

    settlement: Settlement
    refusal: Exception | None = None
    cancelled: BaseException | None = None


class Connection(Sending):
    """One websocket scope, from the call of the app to its end."""

    __slots__ = ("_answer", "_app", "_options", "_refusal", "_scope", "_stopped")

    def __init__(self, app: App, scope: Message, receive: Receive, send: Send, options: Options) -> None:
        lifecycle = Lifecycle(
            scope.get("subprotocols") or (),
            can_deny="websocket.http.response" in (scope.get("extensions") or ()),
            strict=options.strict,
            denial=options.denial,
            crash=options.without_extension == "raise",
        )
        super().__init__(receive, send, lifecycle, options.limits)
        self._app = app
        self._scope = scope
        self._options = options
        self._stopped = False  # the app has ended
        self._answer: Job | None = None  # sends what is owed at a deadline
        self._refusal: Exception | None = None  # the server's, of that

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
            report.repaired(self._scope, repair)
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
                report.overran(self._scope, self._app, self.runtime.coroutine(), self._options)
                self.runtime.cancel()
        self._arm(deadlines.next(now))

    def _end(self, ending: Ending) -> None:
        """End the connection at a deadline: the answer first, from outside the app's task, then what the app sees."""
        settlement = self._lifecycle.settle(ending)
        if ending is not Ending.HANDSHAKE_TIMEOUT:
            self._disconnect = disconnect_after(settlement.messages[0])
            self._tell()
            # Before the close: uvicorn's legacy implementation takes no other message while one is stuck.
            for caller in self._deadlines.sends:
                self.runtime.interrupt(caller)
        self._answer = self.runtime.start(partial(self._end_now, ending, settlement), self._ended)
        self._moved()

    async def _end_now(self, ending: Ending, settlement: Settlement) -> None:
        settlement, self._refusal, _ = await self._owed(settlement, partial(self._send_all, settlement.messages))
        where = None if self._stopped else self.runtime.coroutine()
        report.reached(self._scope, self._app, where, self._options, ending, settlement, self._refusal)
        if not self._stopped and (ending is Ending.HANDSHAKE_TIMEOUT or self._refusal is not None):
            self.runtime.cancel()

    def _ended(self) -> None:
        self._answer = None

    # When the app has ended, or is not called

    async def refused(self) -> None:
        """Settle without calling the app, as there are too many connections (E9).

        Raises:
            Exception: the server's refusal, for its crash path (O11).
        """
        settlement, refusal, cancelled = await self._pay(self._lifecycle.settle(Ending.MAX_CONNECTIONS))
        report.reached(self._scope, self._app, None, self._options, Ending.MAX_CONNECTIONS, settlement, refusal)
        failure = refusal or cancelled
        if failure is not None:
            raise failure

    async def returned(self) -> None:
        """Settle after the app returned.

        Raises:
            ProtocolViolation: the answer is left to the server's crash path (`without_extension="raise"`).
            Exception: the server's refusal, for its crash path (O11).
        """
        settlement, refusal, cancelled = await self._pay(self._lifecycle.settle(Ending.RETURNED))
        report.ended(self._scope, settlement, Meaning(Ending.RETURNED), self._app, refusal=refusal)
        if settlement.crash:
            what = "the app returned without answering the handshake"
            raise ProtocolViolation(settlement.clause, what, "an accept, a close or a denial")
        failure = refusal or self._refusal or cancelled
        if failure is not None:
            raise failure

    async def failed(self, exc: BaseException) -> bool:
        """Settle after the app raised; tell whether its exception goes on to the server."""
        how = meaning(exc, self._lifecycle.state, self._server_error)
        settlement, refusal, cancelled = await self._pay(self._lifecycle.settle(how.ending, how.verdict))
        report.ended(self._scope, settlement, how, self._app, exc, refusal)
        refusal = refusal or self._refusal
        if refusal is not None:
            # What the guard could not end it hands to the server's crash path (O11). An exception of the app's gets
            # there by itself; a cancellation does not.
            if how.ending is Ending.CANCELLED:
                raise refusal
            return True
        if how.handled and cancelled is not None:
            raise cancelled
        return not how.handled

    def abandoned(self) -> None:
        """End without a word: the coroutine is being thrown away, and nothing may be awaited any more."""
        self._lifecycle.settle(Ending.CANCELLED)
        self._stop()

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
        if not in_time and settlement.clause:
            report.unpaid(self._scope, settlement, self._options.close_timeout)
            settlement = replace(settlement, told=None)
        return Paid(settlement)

    async def _leave(self, messages: tuple[Message, ...]) -> None:
        """Send the messages, and leave nothing behind."""
        if self._answer is not None:
            await self.runtime.finished(self._answer)
        await self._send_all(messages)
        if self._fetch is not None:
            await self.runtime.finished(self._fetch)
