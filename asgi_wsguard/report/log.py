"""One log line for a connection: what the app did, on which path, where, and what the client was told."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .outcome import Outcome
from .printable import printable, shortened

if TYPE_CHECKING:
    from ..lifecycle import Settlement
    from . import ConnectionReport

logger = logging.getLogger("asgi_wsguard")

# What happened; `{ended}` is how the app ended, `{limit}` the option that was reached.
DEEDS: Mapping[Outcome, str] = {
    Outcome.RETURNED_UNANSWERED: "the app returned without answering the handshake",
    Outcome.RAISED_UNANSWERED: "the app {ended} before it answered the handshake",
    Outcome.CANCELLED_UNANSWERED: "the app {ended} before it answered the handshake",
    Outcome.HANDSHAKE_TIMEOUT: "the app had not answered the handshake after {limit:g} s",
    Outcome.REFUSED: "the app refused the handshake",
    Outcome.DENIED: "the app denied the handshake",
    Outcome.DENIED_WITHOUT_BODY: "the app began a denial response and {ended} before its body",
    Outcome.DENIED_IN_PART: "the app {ended} inside the body of its denial response",
    Outcome.DENIED_WITHOUT_EXTENSION: "the app denied the handshake with a response, which this server cannot send",
    Outcome.LEFT_UNANSWERED: "the client left before the handshake was answered",
    Outcome.MAX_CONNECTIONS: "the app was not called, as max_connections={limit} is reached",
    Outcome.TURNED_AWAY: "no handshake is let in, as the drainer is draining",
    Outcome.RETURNED: "the app returned without closing the websocket",
    Outcome.RAISED: "the app {ended} on an open websocket",
    Outcome.CANCELLED: "the app {ended} on an open websocket",
    Outcome.CLOSED: "the app closed the websocket",
    Outcome.LEFT: "the client left",
    Outcome.IDLE_TIMEOUT: "no message came or went for {limit:g} s",
    Outcome.MAX_LIFETIME: "the connection was open for {limit:g} s",
    Outcome.SEND_TIMEOUT: "the app was stuck for {limit:g} s in sending to a client that does not read",
    Outcome.DRAINED: "the drainer closed the connection",
    Outcome.RAISED_AFTERWARDS: "the app {ended} after the connection was over",
    Outcome.OUTLIVED: "the app went on for {limit:g} s after the connection was over",
    Outcome.ABANDONED: "the connection was thrown away",
}
# A path may have many thousand characters.
LONGEST_PATH = 200
# The option whose value is in the text, where it has not the name of the outcome.
LIMITS: Mapping[Outcome, str] = {Outcome.OUTLIVED: "exit_timeout"}


class Noted(NamedTuple):
    """Something that the app did wrong while the connection lived, and what was done about it."""

    clause: str
    what: str
    where: str
    done: str

    def __str__(self) -> str:
        return f"{self.what}{place(self.where)}; {self.done}"


class Paid(NamedTuple):
    """What became of a settlement."""

    settlement: Settlement
    refusal: Exception | None = None
    """The server's."""
    cancelled: BaseException | None = None
    """A cancellation that came meanwhile."""
    in_time: bool = True


def headline(outcome: Outcome, paid: Paid, noted: tuple[Noted, ...]) -> tuple[int, str]:
    """Return the level of the line, and the clause that it is about: the gravest of what happened."""
    if paid.refusal is not None:
        return logging.ERROR, outcome.clause
    if outcome.level > logging.DEBUG:
        return outcome.level, outcome.clause
    if not paid.in_time:
        return logging.WARNING, "E4"
    if noted:
        return logging.WARNING, noted[0].clause
    return outcome.level, outcome.clause


def write(
    report: ConnectionReport, end: Outcome, paid: Paid, noted: tuple[Noted, ...], ended: str, options: object
) -> None:
    """Log the line.

    Args:
        report: what became of the connection.
        end: how the connection itself ended, if the report is about what came after.
        paid: what became of what was owed.
        noted: what the app did wrong before.
        ended: how the app ended.
        options: what has the limit that was reached.
    """
    level, clause = headline(report.outcome, paid, noted)
    if not logger.isEnabledFor(level):
        return
    only_noted = noted and level == logging.WARNING and clause == noted[0].clause
    if only_noted:
        text = ". ".join(map(str, noted))
    else:
        told, where = _told(report, paid), place(report.where)
        deeds = [f"{_deed(report.outcome, ended, options)}{where}; {told}"]
        if end is not report.outcome:
            after = "it was cancelled" if report.outcome is Outcome.OUTLIVED else "the server has its exception"
            deeds = [
                f"{_deed(report.outcome, ended, options)}{where}; {after}",
                f"{_deed(end, ended, options)}; {told}",
            ]
        text = ". Before that ".join([*deeds, *map(str, noted)])
    logger.log(level, "[wsguard-%s] %s: %s", clause, quoted(report.path), printable(text), extra=_extra(report, clause))


def _deed(outcome: Outcome, ended: str, options: object) -> str:
    limit = getattr(options, LIMITS.get(outcome, outcome.value), None)
    return DEEDS[outcome].format(ended=ended, limit=limit)


def _told(report: ConnectionReport, paid: Paid) -> str:
    told = report.status or report.close_code
    if paid.refusal is not None:
        answer = paid.settlement.told
        return f"the answer {answer} was refused with {paid.refusal!r}; the rest is left to the server"
    if not paid.in_time:
        return "the server did not take the answer in time (E4); the rest is left to it"
    if paid.settlement.crash:
        return "the answer is left to the server"
    if told is None:
        return "nothing more was sent"
    if report.closed_by == "client":
        return f"it closed with {told}"
    return f"the client was {'told' if report.close_code is None else 'closed with'} {told}"


def _extra(report: ConnectionReport, clause: str) -> dict[str, Any]:
    """Return the fields of the report, for handlers that write them out, each escaped as in the line."""
    fields = {name: _field(getattr(report, name)) for name in report.__slots__}
    return {f"ws_{name}": value for name, value in {**fields, "signature": f"wsguard-{clause}"}.items()}


def _field(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Outcome):
        return value.value
    if isinstance(value, tuple):
        return [printable(str(violation)) for violation in value]
    return value


def quoted(path: str) -> str:
    """Return the path as it may stand in a line: what is no printable character is escaped, and so is a quote."""
    return repr(shortened(path, LONGEST_PATH))


def place(where: str) -> str:
    """Return the line of the app's, in brackets."""
    return f" ({where})" if where else ""
