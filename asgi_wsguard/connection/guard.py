"""One websocket, from the call of the app to its end: the `Connection` puts the parts together."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Callable

from ..exceptions import ProtocolViolation
from ..nesting import Guarding
from ..options import Options
from ..report import Outcome
from ..rules.deadlines import AfterEnd, Deadlines, Due, Notice, Overrun
from ..rules.lifecycle import Answer, Delivery, Lifecycle
from ..rules.messages import Message
from ..rules.states import OVER, SETTLED, EndReason, State
from ..runtime import Job, runtime
from .app_exit import AppExit, read_exit
from .ending import Ending
from .inbox import Inbox, Receive
from .outbox import Outbox, Send
from .record import Record
from .refusal import VERSIONS, refusing_by_response
from .tracker import Tracker

RETURNED = AppExit(EndReason.RETURNED)

App = Callable[[Message, Receive, Send], Awaitable[None]]


class NotAdmitted(Exception):
    """The app is not called: too many are connected (E9), or none are admitted (D1)."""

    def __init__(self, reason: EndReason, answer: Answer | None = None) -> None:
        self.reason = reason
        self.answer = answer


class Connection:
    """One websocket scope. The app runs between `enter` and `finish`, which gives the server what it is owed.

    Args:
        options: the app and the options of the middleware.
        scope: the server's scope.
        receive: the server's `receive()`.
        send: the server's `send()`.
    """

    __slots__ = (
        "_ending",
        "_guarding",
        "_inbox",
        "_outbox",
        "_record",
        "_tracker",
    )

    def __init__(self, options: Options, scope: Message, receive: Receive, send: Send) -> None:
        can_deny = "websocket.http.response" in (scope.get("extensions") or ())
        # By position, because CPython 3.13 takes twice as long to make an object with keyword arguments.
        lifecycle = Lifecycle(scope.get("subprotocols") or (), can_deny, options.policy)
        using = runtime()
        self._tracker = Tracker(lifecycle, Deadlines(options.limits, using.now()), using)
        self._record = Record(scope, options)
        self._inbox = Inbox(receive, self._tracker)
        self._outbox = Outbox(send, self._tracker, self._inbox, self._record)
        if can_deny and scope.get("http_version") in VERSIONS:
            self._outbox.server_send = refusing_by_response(send)  # data goes through the server's own
        self._ending: Ending | None = None
        self._guarding: Guarding | None = None
        self._tracker.start(self)

    def enter(self) -> tuple[Receive, Send]:
        """Note that the app is about to be called, and return what to call it with.

        Raises:
            NotAdmitted: the app is not to be called; `finish` answers the handshake.
            OSError: the drainer cannot wait for signals, as there are no file descriptors left.
        """
        options = self._record.options
        if options.may_refuse:
            _admit(options)
        self._guarding = Guarding(self._record.scope)
        options.seats.taken += 1
        self._tracker.runtime.enter()
        if options.drainer is not None:
            options.drainer.add(self)
        return self._inbox.receive, self._outbox.send

    async def finish(self, exc: BaseException | None) -> bool:
        """Finish after the app has ended; return whether its exception, if it raised one, is fully handled.

        Raises:
            ProtocolViolation: the answer is left to the server's crash path (`without_extension="raise"`).
            BaseException: a cancellation, or the server's refusal, for its crash path (O11).
        """
        if type(exc) is NotAdmitted:
            _raise(_failure(await self._end().finish(AppExit(exc.reason), answer=exc.answer)))
            return True
        try:
            left = self._tracker.runtime.leave(exc)
            if type(exc) is GeneratorExit:
                self._end().abandon()
                return False
            if left is not None:
                left = await self._failed(left)
            elif not self._ended_quietly():
                left = await self._returned()
            if left is exc:
                return False
            _raise(left)
            return True
        finally:
            left = exc = None  # an exception that is raised here refers to this frame
            self._tracker.runtime.release()
            self._record.options.seats.taken -= 1
            if self._record.options.drainer is not None:
                self._record.options.drainer.remove(self)
            if self._guarding is not None:
                self._guarding.end()

    def _ended_quietly(self) -> bool:
        """Finish if nothing is owed, and nothing to be reported, as on most connections; return whether that is so."""
        settled = self._ending is None and self._tracker.lifecycle.state in SETTLED
        if settled and self._inbox.prefetch is None and self._outbox.settled and self._record.is_dull:
            self._tracker.lifecycle.settle(RETURNED.reason)
            self._tracker.stop()
            self._outbox.finish()
            self._inbox.end()
            return True
        return False

    def _end(self) -> Ending:
        """Return the `Ending`, which is made at its first use."""
        if self._ending is None:
            self._ending = Ending(self._tracker, self._inbox, self._outbox, self._record)
        return self._ending

    # Deadlines

    def on_timer(self) -> None:
        """Do what is due, and check whether the app waits for a message, when the timer has fired."""
        now, deadlines = self._tracker.fired(), self._tracker.deadlines
        self._inbox.notice_next()
        deadlines.checked(now)
        due = deadlines.due(now)
        while due is not None:
            self._do(due, now)
            due = deadlines.due(now)
        if not self.over:
            self._inbox.prefetch_if_idle()
        self._tracker.arm(deadlines.next(now))

    def _do(self, due: Due, now: float) -> None:
        if isinstance(due, EndReason):
            return self._end().at_deadline(due)
        clocks = self._tracker.deadlines.after_end
        assert clocks is not None  # only these clocks name anything else
        if isinstance(due, Overrun):
            self._cancel_overdue_app(clocks, due, now)
        elif due is Notice.DISCONNECT:
            clocks.disconnect_ready()
            # If an error of send() showed that the client has left, the server still has the client's last messages,
            # and then the disconnect.
            if self._outbox.server_error is None:
                self._inbox.end()
                self._outbox.interrupt_close()
        else:
            clocks.counted()
            self._record.app_outlives(self._tracker.runtime)

    def _cancel_overdue_app(self, clocks: AfterEnd, overrun: Overrun, now: float) -> None:
        """Cancel an app that has kept running for too long after the end."""
        clocks.cancelled(now)
        self._tracker.runtime.cancel()
        self._record.odd.overrun = overrun, now - clocks.ended
        after = Outcome.OVERSTAYED if overrun in (Overrun.USING, Overrun.CLEANUP) else Outcome.OUTLIVED
        self._end().app_overran(after)
        if self._record.options.drainer is not None:
            self._record.options.drainer.overran(self)

    # For the drainer, see `drain.Drainable`

    @property
    def path(self) -> str:
        """The path that the client asked for."""
        return self._record.path

    @property
    def route(self) -> str:
        """The template of the path, if the framework tells it; else empty."""
        return self._record.route

    @property
    def client(self) -> str:
        """Host and port of the client."""
        return self._record.client

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app accepted with."""
        return self._record.subprotocol

    @property
    def answered(self) -> bool:
        """Whether the app has begun to answer the handshake, or it is over."""
        return self._tracker.lifecycle.state is not State.CONNECTING

    @property
    def is_open(self) -> bool:
        """Whether the websocket is open."""
        return self._tracker.lifecycle.state is State.OPEN

    @property
    def over(self) -> bool:
        """Whether nothing more can be sent to the client."""
        return self._tracker.lifecycle.state in OVER

    @property
    def app_ended(self) -> bool:
        """Whether the app has ended, so that only the server and observers are awaited."""
        return self._tracker.stopped

    @property
    def crashed(self) -> bool:
        """Whether the server has refused the answer at a deadline, so that its crash path ends the connection (O11)."""
        limit = None if self._ending is None else self._ending.limit
        return limit is not None and limit.refusal is not None

    @property
    def answered_after(self) -> float:
        """Seconds from the call of the app to its accept; 0 before that, and if another thread asks too early."""
        clocks = self._tracker.deadlines
        opened = clocks.opened
        return 0.0 if opened == float("inf") else opened - clocks.began

    @property
    def outlived(self) -> bool:
        """Whether the app has kept running for more than `exit_timeout` after the end (O16)."""
        return self._record.outlived

    def drain(self, answer: Answer) -> Job | None:
        """End the connection with this answer, and return the job that sends it; `None` if it is already over."""
        if not self.over:
            self._end().at_deadline(EndReason.DRAINED, answer)
            return self._end().answering
        return None

    def limit_exit(self, seconds: float) -> None:
        """Cancel the app this many seconds from now, and repeatedly, whatever it knows, if the connection is over."""
        self._tracker.drained(seconds)

    # When the app has ended

    async def _returned(self) -> BaseException | None:
        """Finish after the app returned; return what is raised to the server."""
        delivery = await self._end().finish(RETURNED)
        if delivery.final.crash:
            what = "the app returned without answering the handshake"
            return ProtocolViolation(delivery.final.clause, what, "an accept, a close or a denial")
        try:
            return _failure(delivery)
        finally:
            del delivery  # its exceptions refer to the frames that they came through, and these to this one

    async def _failed(self, exc: BaseException) -> BaseException | None:
        """Finish after the app raised; return what is raised to the server."""
        how = read_exit(exc, self._tracker.lifecycle, self._outbox.server_error)
        delivery = await self._end().finish(how, exc)
        try:
            # The guard leaves a connection that it could not end to the server's crash path (O11). An exception of the
            # app takes that path anyway. A cancellation does not.
            if delivery.refusal is not None:
                return delivery.refusal if how.reason is EndReason.CANCELLED else exc
            return delivery.cancelled if how.handled else exc
        finally:
            del delivery, exc  # as above


def _failure(delivery: Delivery) -> BaseException | None:
    """Return what has to reach the server: its own refusal, or a cancellation that came meanwhile."""
    return delivery.refusal or delivery.cancelled


def _raise(exc: BaseException | None) -> None:
    """Raise what has to reach the server. What the app ended with is not its context: it would stand in the log."""
    if exc is not None:
        try:
            raise exc
        finally:
            exc.__context__ = None
            exc.__suppress_context__ = True  # before Python 3.12 a coroutine that is cancelled sets it once more
            del exc  # the exception refers to this frame


def _admit(options: Options) -> None:
    drainer = options.drainer
    if drainer is not None and drainer.draining:
        raise NotAdmitted(EndReason.DRAINED, drainer.refusal)
    if options.seats.full:
        raise NotAdmitted(EndReason.MAX_CONNECTIONS)
