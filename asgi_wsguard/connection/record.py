"""The record of one websocket: notes while it lives, and the one report at its end."""

from __future__ import annotations

from logging import DEBUG
from typing import Any, NamedTuple

from ..integrations.uvicorn import server_stops
from ..observers import Pending
from ..options import Options
from ..report import ConnectionReport, Draft, Outcome, Violation, finished, lines, log
from ..report.error import name_of, text_of, type_of
from ..report.log import Noted
from ..report.outcome import CLOSED_BY, outcome_of
from ..report.printable import readable, shortened
from ..report.route import route_of
from ..rules.deadlines import Overrun
from ..rules.lifecycle import Delivery, Lifecycle
from ..rules.messages import ACCEPT, CLOSE, START, CloseCode, Message, disconnect_after
from ..rules.states import EndReason, State
from ..runtime import Runtime
from .app_exit import AppExit
from .tracker import Tracker

# An app that keeps breaking the specification in ever new ways must not fill the memory.
MAX_NOTED = 10
LONGEST_NOTED = 500  # what it sent is in the text, and may be what a client has sent
DENIALS = (Outcome.DENIED, Outcome.REFUSED)
# The app was not called, so no line of it is at fault. Skipping the search saves time when there are many of these.
NOT_CALLED = (Outcome.MAX_CONNECTIONS, Outcome.TURNED_AWAY)
PLAIN_ACCEPT: Message = {}  # shared, as most connections have no subprotocol


class End(NamedTuple):
    """The end of a connection.

    Attributes:
        tracker: knows the times.
        state: the state before the end.
        delivery: the delivery of the final messages.
        how: how the app ended, or which limit was reached.
        disconnect: the disconnect that the app gets.
        exc: the exception that the app raised.
        after: what the app did after the end, if the report is about that.
    """

    tracker: Tracker
    state: State
    delivery: Delivery
    how: AppExit
    disconnect: Message
    exc: BaseException | None = None
    after: Outcome | None = None


class Oddities:
    """What is odd about one connection.

    Attributes:
        noted: what the app did wrong.
        where: the line where the app waited at a deadline.
        overrun: why the app was cancelled, and how many seconds after the end.
        refused_close: the server's error for a close by the app, and its code (O11).
        close_stuck: the client did not answer the app's close in time.
        outlived: the app was counted as one that outlives its client (O16).
    """

    __slots__ = ("close_stuck", "noted", "outlived", "overrun", "refused_close", "where")

    def __init__(self) -> None:
        self.noted: tuple[Noted, ...] = ()
        self.where = ""
        self.overrun: tuple[Overrun, float] | None = None
        self.refused_close: tuple[BaseException, Any] | None = None
        self.close_stuck = self.outlived = False


NOTHING_ODD = Oddities()


class Record:
    """The notes on one websocket while it lives, and its one report.

    Args:
        scope: the scope that the app was called with.
        options: the app, so that the log line can name a line of its code, and the options of the middleware.

    Attributes:
        path: the path that the client asked for; a router may shorten the one in the scope.
    """

    __slots__ = (
        "_accept",
        "_final",
        "_found_route",
        "_oddities",
        "_reported",
        "options",
        "path",
        "scope",
    )

    def __init__(self, scope: Message, options: Options) -> None:
        self.options = options
        self.path: str = scope.get("path", "")
        self.scope = scope
        self._accept: Message | None = None  # what the app accepted with, without its headers
        self._final: Message | None = None  # what the app closed or denied with
        self._found_route: str | None = None  # kept, since observers must get the same route at accept and at the end
        self._oddities = NOTHING_ODD  # most connections have none, and share this
        self._reported = False

    @property
    def odd(self) -> Oddities:
        """What is odd about this connection, to be added to."""
        if self._oddities is NOTHING_ODD:
            self._oddities = Oddities()
        return self._oddities

    @property
    def outlived(self) -> bool:
        """Whether the app was counted as one that outlives its client (O16)."""
        return self._oddities.outlived

    @property
    def client(self) -> str:
        """Host and port of the client, if the server tells them; else empty."""
        client = self.scope.get("client")
        return readable(lambda: ":".join(map(str, client))) if isinstance(client, (list, tuple)) else ""

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app accepted with; `None` for none."""
        return self._accept.get("subprotocol") if self._accept is not None else None

    @property
    def route(self) -> str:
        """The template of the path, if the framework tells it; else empty."""
        if self._found_route is None:
            self._found_route = route_of(self.scope, self.path, self.options.app)
        return self._found_route

    # While the connection lives

    def sent(self, message: Message) -> None:
        """Note what the server has taken of the app's."""
        kind = message["type"]
        if kind == ACCEPT:
            subprotocol = message.get("subprotocol")
            self._accept = PLAIN_ACCEPT if subprotocol is None else {"subprotocol": subprotocol}
            # A server may take long for an accept. After the report, no observer would count this connection down.
            if self.options.observers.count_open and not self._reported:
                self.options.observers.count("opened", self.route)
        elif kind in (START, CLOSE):
            self._final = message

    def note(self, clause: str, what: str, done: str) -> None:
        """Note what the app does wrong, on the way of its own `send()`."""
        noted = Noted(clause, shortened(what, LONGEST_NOTED), lines.of_caller(), done)
        if noted not in self.odd.noted and len(self.odd.noted) < MAX_NOTED:
            self.odd.noted += (noted,)

    def note_repairs(self, lifecycle: Lifecycle) -> None:
        """Note the app's messages that were repaired since the last call."""
        repairs, lifecycle.repairs = lifecycle.repairs, ()
        for repair in repairs:
            self.note(*repair)

    def note_too_late(self, text: str, *, dropped: bool) -> None:
        """Note a message that comes when the connection is over, if the app itself has closed it (O6)."""
        if self._accept is not None and self._final is not None:
            self.note("O6", f"the app sent {text}", "discarded" if dropped else "refused with ClientDisconnected")

    def app_outlives(self, runtime: Runtime) -> None:
        """Count the app, which has kept running for `exit_timeout` after the end, until it ends (O16)."""
        self.odd.outlived = True
        self.options.observers.count("outlive", self.route, 1)
        log.outlives(self.path, self.options.limits.exit_timeout, self.waits(runtime), self.route)

    def app_ended(self) -> None:
        """Note that the app has ended."""
        if self.outlived:
            self.options.observers.count("outlive", self.route, -1)

    def waits(self, runtime: Runtime) -> str:
        """Return the line where the app waits."""
        return lines.of_waiting_app(runtime.coroutine(), self.scope, self.options.app)

    # The report

    @property
    def is_dull(self) -> bool:
        """Whether nobody wants to know of a connection on which all went well, as it did on this one."""
        dull = self._oddities is NOTHING_ODD and not self.options.observers.every
        return dull and not log.logger.isEnabledFor(DEBUG)

    def forget_refusal(self) -> None:
        """Drop the server's error for a close: it refers to the frames that it came through, and so to this."""
        if self._oddities.refused_close is not None:
            self._oddities.refused_close = None

    def report(self, end: End) -> Pending:
        """Log how the connection ended, tell the observers, and return what they have left to await. Once."""
        if self._reported:
            return []
        self._reported = True
        outcome = self._outcome(end)
        level, clause = log.headline(end.after or outcome, end.delivery, self._oddities.noted)
        logs = log.logger.isEnabledFor(level)
        if not (logs or self.options.observers.every):
            return []
        report = self._made(end, outcome, level)
        if logs:
            log.write(level, clause, report, outcome, end.delivery, self._oddities.noted, self._facts(end))
        return self.options.observers.tell(report)

    def _outcome(self, end: End) -> Outcome:
        """Return how the connection itself ended, whatever the app did after that."""
        outcome = outcome_of(end.state, end.delivery.final, end.how.answer, self._accept, self._final)
        if outcome is Outcome.LEFT and server_stops(end.disconnect):
            return Outcome.STOPPED
        refused = self._oddities.refused_close
        if outcome is Outcome.RAISED and refused is not None and end.exc is refused[0]:
            return Outcome.CLOSE_REFUSED
        if outcome in DENIALS and any(noted.clause == "H9" for noted in self._oddities.noted):
            return Outcome.DENIED_WITHOUT_EXTENSION
        return outcome

    def _made(self, end: End, outcome: Outcome, level: int) -> ConnectionReport:
        clocks = end.tracker.deadlines
        closed_by = CLOSED_BY.get(outcome, "guard")
        opened, told = self._accept is not None, self._told_client(end, closed_by)
        # Not the disconnect, where the app has closed: that is the server's, which need not know the reason.
        messages = end.delivery.final.messages
        close = messages[0] if messages else self._final or end.disconnect
        ended = min(clocks.ended, end.tracker.runtime.now())
        answered = clocks.opened if opened else None if told is None else ended
        exc = end.exc if not end.how.handled and end.how.reason is not EndReason.CANCELLED else None
        report: Any = Draft()
        report.outcome = end.after or outcome
        report.path = self.path
        report.route = self.route
        report.client = self.client
        report.subprotocol = self.subprotocol
        report.http_version = readable(lambda: str(self.scope.get("http_version", "")))
        report.answered_after = None if answered is None else answered - clocks.began
        report.open_for = ended - clocks.opened if opened else None
        report.status = None if opened else told
        report.close_code = told if opened else None
        report.close_reason = close.get("reason") or "" if opened and told is not None else ""
        report.closed_by = closed_by
        report.violations = self._violations()
        report.cancelled = outcome is Outcome.HANDSHAKE_TIMEOUT or self._oddities.overrun is not None
        report.error_type = "" if exc is None else type_of(exc)
        report.error = "" if exc is None else text_of(exc)
        report.where = self._place(end, outcome) if level > DEBUG else ""
        return finished(report)

    def _violations(self) -> tuple[Violation, ...]:
        noted = self._oddities.noted
        return tuple([Violation(*one[:3]) for one in noted if one.clause != "H9"]) if noted else ()

    def _told_client(self, end: End, closed_by: str) -> int | None:
        """Return the status or the close code that the client got, or that it sent if it closed."""
        if end.delivery.refusal is not None or not end.delivery.in_time:
            return None
        if closed_by in ("client", "server"):
            return end.disconnect.get("code") if self._accept is not None else None
        if end.delivery.final.told is not None:
            told = int(end.delivery.final.told)  # it may be a CloseCode
            # A close may overtake an accept that the server is still working on: its code is not an HTTP status.
            return told if told < CloseCode.NORMAL or self._accept is not None else None
        if self._final is None:
            return None
        if self._accept is not None:
            return int(disconnect_after(self._final)["code"])
        return int(self._final.get("status", 403))

    def _place(self, end: End, outcome: Outcome) -> str:
        if end.exc is not None:
            return lines.of_exception(end.exc)
        if outcome in NOT_CALLED:
            return ""
        if end.after in (Outcome.OUTLIVED, Outcome.OVERSTAYED):
            return self.waits(end.tracker.runtime)
        return self._oddities.where or lines.of_app(self.scope, self.options.app)

    def _facts(self, end: End) -> log.Facts:
        ended = end.how.reason.value
        if end.how.other is not None:
            ended = f"let out the disconnect of {log.quoted(end.how.other)}, to which it sent,"
        elif end.exc is not None and end.how.reason is not EndReason.CANCELLED:
            ended = f"raised {name_of(end.exc)}"
        odd = self._oddities
        code = None if odd.refused_close is None else odd.refused_close[1]
        return log.Facts(ended, self.options, odd.overrun, code, stuck=odd.close_stuck)
