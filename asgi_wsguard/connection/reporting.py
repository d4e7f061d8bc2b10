"""The account of one websocket: what is noted while it lives, and the one report at its end."""

from __future__ import annotations

from logging import DEBUG
from typing import TYPE_CHECKING, Any

from .. import lines
from ..endings import Meaning
from ..lifecycle import Lifecycle
from ..messages import ACCEPT, CLOSE, START, CloseCode, Message
from ..report import ConnectionReport, Outcome, Violation, log
from ..report.error import text_of, type_of
from ..report.log import Noted, Paid
from ..report.outcome import APPS, CLIENTS, outcome_of
from ..report.printable import shortened
from ..report.route import route_of
from ..states import Ending, State
from .receiving import Receive
from .sending import Send, Sending, disconnect_after

if TYPE_CHECKING:
    from ..middleware import Options

# An app that goes on breaking the specification in ever new ways must not fill the memory.
MAX_NOTED = 10
LONGEST_NOTED = 500  # what it sent is in the text, and may be what a client has sent
DENIALS = (Outcome.DENIED, Outcome.REFUSED)


class Reporting(Sending):
    """See `Connection`, whose third part this is."""

    __slots__ = (
        "_accept",
        "_app",
        "_final",
        "_found_route",
        "_noted",
        "_options",
        "_reported",
        "_scope",
        "_where",
        "path",
    )

    def __init__(
        self, app: Any, scope: Message, receive: Receive, send: Send, lifecycle: Lifecycle, options: Options
    ) -> None:
        super().__init__(receive, send, lifecycle, options.limits)
        self._app = app
        self._scope = scope
        self._options = options
        self.path: str = scope.get("path", "")  # a router may shorten the one in the scope
        self._accept: Message | None = None  # what the app accepted with
        self._final: Message | None = None  # what the app closed or denied with
        self._found_route: str | None = None  # who counts the open ones must hear the same at accept and at the end
        self._noted: tuple[Noted, ...] = ()
        self._where = ""  # the line where the app waited at a deadline
        self._reported = False

    @property
    def client(self) -> str:
        """Host and port of the client, as the server tells them; else empty."""
        client = self._scope.get("client")
        return ":".join(map(str, client)) if isinstance(client, (list, tuple)) else ""

    @property
    def subprotocol(self) -> str | None:
        """What the app accepted with; `None` for none."""
        return self._accept.get("subprotocol") if self._accept is not None else None

    @property
    def route(self) -> str:
        """The template of the path, where the framework says which."""
        if self._found_route is None:
            self._found_route = route_of(self._scope, self.path, self._app)
        return self._found_route

    def _sent(self, message: Message) -> None:
        """Note what the server has taken of the app's."""
        kind = message["type"]
        if kind == ACCEPT:
            self._accept = message
            # After the report nobody would count it out again: the server may take its time for an accept.
            if self._options.observers.count_open and not self._reported:
                self._options.observers.opened(self.route)
        elif kind in (START, CLOSE):
            self._final = message

    def _note(self, clause: str, what: str, done: str) -> None:
        """Note what the app does wrong, on the way of its own `send()`."""
        noted = Noted(clause, shortened(what, LONGEST_NOTED), lines.of_caller(), done)
        if noted not in self._noted and len(self._noted) < MAX_NOTED:
            self._noted += (noted,)

    def _waits(self) -> str:
        """Return the line where the app waits."""
        return lines.of_waiting(self.runtime.coroutine()) or lines.of_app(self._scope, self._app)

    def _report(
        self, state: State, paid: Paid, how: Meaning, exc: BaseException | None = None, after: Outcome | None = None
    ) -> ConnectionReport | None:
        """Log and tell how the connection ended; return the report for those that may wait. Only the first call does.

        Args:
            state: where the connection was before it was settled.
            paid: what became of what was owed then.
            how: how the app ended, or which limit was reached.
            exc: what the app raised.
            after: what became of the app after the end, where that is what the report is about.
        """
        if self._reported:
            return None
        self._reported = True
        end = outcome_of(state, paid.settlement, how.verdict, self._accept, self._final)
        if self._noted and end in DENIALS and any(noted.clause == "H9" for noted in self._noted):
            end = Outcome.DENIED_WITHOUT_EXTENSION
        outcome = after or end
        level, _ = log.headline(outcome, paid, self._noted)
        if not (self._options.observers.any or log.logger.isEnabledFor(level)):
            return None
        report = self._made(outcome, end, paid, how, exc, level)
        log.write(report, end, paid, self._noted, _ended(how, exc), self._options)
        self._options.observers.tell_prompt(report)
        return report if self._options.observers.any_to_await else None

    def _made(
        self, outcome: Outcome, end: Outcome, paid: Paid, how: Meaning, exc: BaseException | None, level: int
    ) -> ConnectionReport:
        now, clocks = self.runtime.now(), self._deadlines
        opened, told = self._accept is not None, self._told_client(end, paid)
        # Not the disconnect, where the app has closed: that is the server's, which need not know the reason.
        close = next(filter(None, (*paid.settlement.messages, self._final)), self._disconnect)
        by = "app" if end in APPS else "client" if end in CLIENTS else "guard"
        ended = min(clocks.ended, now)
        answered = clocks.opened if opened else None if told is None else ended
        crash = exc is not None and not how.handled and how.ending is not Ending.CANCELLED
        return ConnectionReport(
            outcome=outcome,
            path=self.path,
            route=self.route,
            client=self.client,
            subprotocol=self.subprotocol,
            http_version=str(self._scope.get("http_version", "")),
            answered_after=None if answered is None else answered - clocks.began,
            open_for=ended - clocks.opened if opened else None,
            status=None if opened else told,
            close_code=told if opened else None,
            close_reason=close.get("reason") or "" if opened and told is not None else "",
            closed_by="" if end is Outcome.ABANDONED else by,
            violations=tuple(Violation(*noted[:3]) for noted in self._noted if noted.clause != "H9"),
            cancelled=outcome in (Outcome.HANDSHAKE_TIMEOUT, Outcome.OUTLIVED),
            error_type=type_of(exc) if crash and exc is not None else "",
            error=text_of(exc) if crash and exc is not None else "",
            where=self._place(outcome, exc) if level > DEBUG else "",
        )

    def _told_client(self, end: Outcome, paid: Paid) -> int | None:
        """Return the status or the close code that the client has got, or has sent if it closed."""
        if paid.refusal is not None or not paid.in_time:
            return None
        if end in CLIENTS:
            return self._disconnect.get("code") if self._accept is not None else None
        if paid.settlement.told is not None:
            told = int(paid.settlement.told)  # it may be a CloseCode
            # A close may have overtaken the server's own work on an accept: that is no HTTP status.
            return told if told < CloseCode.NORMAL or self._accept is not None else None
        if self._final is None:
            return None
        if self._accept is not None:
            return int(disconnect_after(self._final)["code"])
        return int(self._final.get("status", 403))

    def _place(self, outcome: Outcome, exc: BaseException | None) -> str:
        if exc is not None:
            return lines.of_exception(exc)
        if outcome is Outcome.OUTLIVED:
            return self._waits()
        return self._where or lines.of_app(self._scope, self._app)


def _ended(how: Meaning, exc: BaseException | None) -> str:
    return how.ending.value if exc is None or how.ending is Ending.CANCELLED else f"raised {type(exc).__name__}"
