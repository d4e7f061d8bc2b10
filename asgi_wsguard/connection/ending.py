"""The end of one connection: the final messages, the report, and the observers."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine
from functools import partial
from typing import Any, Callable

from .. import integrations
from ..integrations.crash_paths import crash_path_is_sound
from ..observers import Pending, abandon, finish
from ..report import Outcome
from ..rules.lifecycle import Answer, Delivery, FinalMessages
from ..rules.messages import Message, disconnect_after
from ..rules.states import OVER, EndReason, State
from ..runtime import Job
from .app_exit import AppExit
from .inbox import DISCONNECT, Inbox
from .outbox import Outbox
from .record import End, Record
from .tracker import Tracker


class Ending:
    """Ends a connection, at a deadline and when its app has ended. It is made only when there is something to end.

    Args:
        tracker: the state of the connection.
        inbox: gives the app its disconnect.
        outbox: sends the final messages.
        record: makes the report.

    Attributes:
        answering: the job that sends the final messages at a deadline, while it runs.
        limit: the delivery of these; `None` without a deadline.
    """

    __slots__ = ("_inbox", "_observing", "_outbox", "_record", "_tracker", "answering", "limit")

    def __init__(self, tracker: Tracker, inbox: Inbox, outbox: Outbox, record: Record) -> None:
        self._tracker = tracker
        self._inbox = inbox
        self._outbox = outbox
        self._record = record
        self._observing: Job | None = None  # awaits the observers, although the app keeps running
        self.answering: Job | None = None
        self.limit: Delivery | None = None

    # At a deadline

    def at_deadline(self, reason: EndReason, answer: Answer | None = None) -> None:
        """End the connection: the answer first, from outside the app's task, then what the app sees."""
        if reason in (EndReason.HANDSHAKE_TIMEOUT, EndReason.SEND_TIMEOUT):
            # Before the answer, which may free the app.
            self._record.odd.where = self._record.waits(self._tracker.runtime)
        lifecycle = self._tracker.lifecycle
        was_open = lifecycle.state is State.OPEN
        final = lifecycle.settle(reason, answer)
        if was_open:
            self._inbox.end(disconnect_after(final.messages[0]))
            # Before the close: uvicorn's --ws websockets (0.54.0) takes no other message while one is stuck.
            self._outbox.interrupt()
        elif reason is EndReason.DRAINED:
            self._inbox.end_if_denied()
        self.answering = self._tracker.runtime.start(partial(self._answer, reason, final), self._answered)
        self._sync_state()

    async def _answer(self, reason: EndReason, final: FinalMessages) -> None:
        limit = self.limit = await self._deliver(final, partial(self._send, final.messages))
        if not self._tracker.stopped and (reason is EndReason.HANDSHAKE_TIMEOUT or limit.refusal is not None):
            self._tracker.runtime.cancel()
        if reason is EndReason.HANDSHAKE_TIMEOUT:
            self._report_meanwhile(State.CONNECTING, limit, reason)

    def _answered(self) -> None:
        self.answering = None

    def app_overran(self, after: Outcome) -> None:
        """Report an app that is cancelled as it has kept running for too long after the end."""
        limit = self.limit or Delivery(FinalMessages())
        self._report_meanwhile(self._tracker.lifecycle.state, limit, EndReason.CANCELLED, after)

    def _report_meanwhile(
        self, state: State, delivery: Delivery, reason: EndReason, after: Outcome | None = None
    ) -> None:
        """Report although the app keeps running."""
        pending = self._report(state, delivery, AppExit(reason), after=after)
        if pending:
            self._observing = self._tracker.runtime.start(partial(self._await_observers, pending), self._observed)

    def _observed(self) -> None:
        self._observing = None

    # When the app has ended, or is not called

    async def finish(self, how: AppExit, exc: BaseException | None = None, answer: Answer | None = None) -> Delivery:
        """Send what the server is owed, and report.

        Args:
            how: how the app ended, or why it was not called.
            exc: what it raised.
            answer: the answer to the handshake, where the app was not called.
        """
        state = self._tracker.lifecycle.state
        try:
            crash = self._leaves_crash(how.reason)
            final = self._tracker.lifecycle.settle(how.reason, answer or how.answer, crash=crash)
            delivery = await self._deliver_last(final)
        except GeneratorExit:
            self._report_abandoned(state)
            raise
        limit = self.limit
        if limit is not None:
            delivery = limit._replace(refusal=delivery.refusal or limit.refusal, cancelled=delivery.cancelled)
        after = None
        if exc is not None and how.reason is EndReason.RAISED and not how.handled and (limit or state in OVER):
            after = Outcome.RAISED_AFTERWARDS
        pending = self._report(state, delivery, how, exc, after)
        self._record.forget_refusal()
        try:
            if pending or self._observing is not None:
                await self._tracker.runtime.shielded(None, partial(self._wait_for_observers, pending))
            return delivery
        except GeneratorExit:
            raise
        except BaseException as cancelled:
            return delivery._replace(cancelled=delivery.cancelled or cancelled)
        finally:
            del delivery, exc  # exceptions refer to the frames that they came through, and these to this one

    def abandon(self) -> None:
        """End without a word: the coroutine is being discarded, and nothing may be awaited any more."""
        state = self._tracker.lifecycle.state
        self._tracker.lifecycle.settle(EndReason.CANCELLED)
        self._report_abandoned(state)
        self._outbox.finish()
        # The event loop may be closed, and an app task still receive. At the end of the interpreter, asyncio's debug
        # mode cannot import what it describes a timer with.
        with contextlib.suppress(RuntimeError, ImportError):
            self._stop()

    def _leaves_crash(self, reason: EndReason) -> bool:
        """Return whether the answer is left to the server's own crash path, where it has no extension."""
        option = self._record.options.without_extension
        if self._tracker.lifecycle.state is not State.CONNECTING or option == "close":
            return False
        if option == "raise":
            return reason in (EndReason.RETURNED, EndReason.RAISED)
        return reason is EndReason.RAISED and crash_path_is_sound(self._outbox.server_send)

    # The report

    def _report(
        self,
        state: State,
        delivery: Delivery,
        how: AppExit,
        exc: BaseException | None = None,
        after: Outcome | None = None,
    ) -> Pending:
        return self._record.report(End(self._tracker, state, delivery, how, self._inbox.disconnect, exc, after))

    def _report_abandoned(self, state: State) -> None:
        abandon(self._report(state, Delivery(FinalMessages()), AppExit(EndReason.CANCELLED)))

    async def _await_observers(self, pending: Pending) -> None:
        await finish(pending, self._record.options.close_timeout)

    async def _wait_for_observers(self, pending: Pending) -> None:
        await self._await_observers(pending)
        if self._observing is not None:
            await self._tracker.runtime.finished(self._observing)

    # The final messages

    def _sync_state(self) -> None:
        self._tracker.sync_state()
        if self._tracker.lifecycle.repairs:
            self._record.note_repairs(self._tracker.lifecycle)

    def _stop(self) -> None:
        """Stop the clocks, and what receives ahead: the app has ended."""
        self._tracker.stop()
        self._record.app_ended()
        self._inbox.end()

    async def _deliver_last(self, final: FinalMessages) -> Delivery:
        """Send the final messages, now that the app has ended, and leave nothing behind."""
        self._stop()
        self._sync_state()
        try:
            if (
                final.messages
                or self.answering
                or self._inbox.prefetch
                or self._outbox.server_error
                or self._outbox.busy
            ):
                return await self._deliver(final, partial(self._send_last, final.messages))
            return Delivery(final)
        finally:
            self._outbox.finish()

    async def _deliver(self, final: FinalMessages, call: Callable[[], Coroutine[Any, Any, None]]) -> Delivery:
        """Await what sends them, shielded (E4), and return how they were delivered."""
        try:
            in_time = await self._tracker.runtime.shielded(self._record.options.close_timeout, call)
        except GeneratorExit:
            raise
        except Exception as exc:
            if integrations.client_has_left(exc):
                return Delivery(final)  # nothing is owed any more
            return Delivery(final, exc if final.told else None)
        except BaseException as exc:
            return Delivery(final, cancelled=exc)
        return Delivery(final, in_time=in_time or not final.clause)

    async def _send(self, messages: tuple[Message, ...]) -> None:
        if messages and self._inbox.lacks_connect:
            await self._inbox.take_connect()
        await self._outbox.send_all(messages)

    async def _send_last(self, messages: tuple[Message, ...]) -> None:
        if self.answering is not None:
            await self._tracker.runtime.finished(self.answering)
        await self._send(messages)
        if self._inbox.prefetch is not None:
            await self._tracker.runtime.finished(self._inbox.prefetch)
        elif self._outbox.server_error is not None and self._inbox.disconnect is DISCONNECT:
            await self._inbox.find_disconnect()
