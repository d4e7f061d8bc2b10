"""One log line for a connection: what the app did, on which path, in which line of code, and what the client got."""

from __future__ import annotations

import contextlib
import logging
import sys
import traceback
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..rules.deadlines import Overrun
from ..rules.lifecycle import Delivery
from . import ConnectionReport
from .outcome import Outcome
from .printable import printable, readable, shortened

logger = logging.getLogger("asgi_wsguard")

# What happened. `{ended}` is how the app ended, `{limit}` the option that was reached.
SENTENCES: Mapping[Outcome, str] = {
    Outcome.RETURNED_UNANSWERED: "the app returned without answering the handshake",
    Outcome.RAISED_UNANSWERED: "the app {ended} before it answered the handshake",
    Outcome.CANCELLED_UNANSWERED: "the app {ended} before it answered the handshake",
    Outcome.HANDSHAKE_TIMEOUT: "the app did not answer the handshake within {limit:g} s",
    Outcome.REFUSED: "the app rejected the handshake",
    Outcome.DENIED: "the app denied the handshake",
    Outcome.DENIED_WITHOUT_BODY: "the app started a denial response and {ended} before its body",
    Outcome.DENIED_IN_PART: "the app {ended} while sending the body of its denial response",
    Outcome.DENIED_WITHOUT_EXTENSION: "the app sent a denial response, which this server does not support",
    Outcome.LEFT_UNANSWERED: "the client disconnected before the handshake was answered",
    Outcome.MAX_CONNECTIONS: "the app was not called because max_connections={limit} is reached",
    Outcome.TURNED_AWAY: "the app was not called because the drainer is draining",
    Outcome.RETURNED: "the app returned without closing the websocket",
    Outcome.RAISED: "the app {ended} on an open websocket",
    Outcome.CANCELLED: "the app {ended} on an open websocket",
    Outcome.CLOSED: "the app closed the websocket",
    Outcome.LEFT: "the client disconnected",
    Outcome.STOPPED: "the server closed the websocket because it is stopping",
    Outcome.CLOSE_REFUSED: "the server refused to close with code {code}, and the app {ended}",
    Outcome.IDLE_TIMEOUT: "no message was sent or received for {limit:g} s",
    Outcome.MAX_LIFETIME: "the connection was open for {limit:g} s",
    Outcome.SEND_TIMEOUT: "a send() of the app was stuck for {limit:g} s because the client does not read",
    Outcome.DRAINED: "the drainer closed the connection",
    Outcome.RAISED_AFTERWARDS: "the app {ended} after the connection was over",
    Outcome.OUTLIVED: "the app {overrun}",
    Outcome.OVERSTAYED: "the app {overrun}",
    Outcome.ABANDONED: "the connection was discarded",
}
# A path may have many thousand characters, and so may what a client sends.
LONGEST_TEXT = 200
# Why the app was cancelled, so many seconds after the end.
OVERRUNS: Mapping[Overrun, str] = {
    Overrun.UNAWARE: "was still running {seconds:.3g} s after the connection was over, and had not noticed",
    Overrun.USING: "was still using the connection {seconds:.3g} s after it was over, although it had noticed",
    Overrun.CLEANUP: "was still cleaning up {seconds:.3g} s after the connection was over",
    Overrun.DRAINED: "was still running {seconds:.3g} s after the connection was over, and the server is drained",
}


class Noted(NamedTuple):
    """Something that the app did wrong during the connection, and what was done about it."""

    clause: str
    what: str
    where: str
    done: str

    def __str__(self) -> str:
        done = self.done if self.done.startswith(("the ", "these ")) else f"it was {self.done}"
        return f"{self.what}{place(self.where)}. {_capitalized(done)}."


class Facts(NamedTuple):
    """The values that the sentences are filled in with.

    Attributes:
        ended: how the app ended.
        options: holds the limit that was reached.
        overrun: why the app was cancelled after the end, and how many seconds after.
        code: the code of the close that the server refused.
        stuck: the client did not answer the app's close in time.
    """

    ended: str
    options: object
    overrun: tuple[Overrun, float] | None = None
    code: Any = None
    stuck: bool = False


def headline(outcome: Outcome, delivery: Delivery, noted: tuple[Noted, ...]) -> tuple[int, str]:
    """Return the level of the line, and the clause it is about: the most severe thing that happened."""
    if delivery.refusal is not None:
        return logging.ERROR, outcome.clause
    if outcome.level > logging.DEBUG:
        return outcome.level, outcome.clause
    if not delivery.in_time:
        return logging.WARNING, "E4"
    if noted:
        return logging.WARNING, noted[0].clause
    return outcome.level, outcome.clause


def write(
    level: int,
    clause: str,
    report: ConnectionReport,
    end: Outcome,
    delivery: Delivery,
    noted: tuple[Noted, ...],
    facts: Facts,
) -> None:
    """Log the line.

    Args:
        level: its level.
        clause: the clause that it is about.
        report: the report of the connection.
        end: how the connection itself ended, if the report is about what happened afterwards.
        delivery: how the final messages were delivered.
        noted: what the app did wrong before.
        facts: the values that the sentences are filled in with.
    """
    if noted and level == logging.WARNING and clause == noted[0].clause:
        text = " ".join(_capitalized(str(one)) for one in noted)
    else:
        told, where = _told(report, delivery), place(report.where)
        sentences = [f"{_sentence(report.outcome, facts)}{where}. {told}"]
        if end is not report.outcome:
            after = "It was cancelled." if facts.overrun is not None else "The exception was re-raised to the server."
            sentences = [f"{_sentence(report.outcome, facts)}{where}. {after}", f"{_sentence(end, facts)}. {told}"]
        text = _capitalized(" Before that, ".join([*sentences, *map(str, noted)]))
    _log(level, clause, report.path, report.route, text, _extra(report, clause))


def _log(level: int, clause: str, path: str, route: str, text: str, extra: dict[str, Any]) -> None:
    """Log with the signature and the route in the template, by which Sentry and others group what they get.

    A path is never in it: where no framework names the route, a path may hold anything, and make a group of each.
    """
    if route and route == path:
        return safe_log(level, f"[wsguard-{clause}] {_literal(route)}: %s", printable(text), extra=extra)
    of_route = f" (route {_literal(route)})" if route else ""
    safe_log(level, f"[wsguard-{clause}] %s{of_route}: %s", quoted(path), printable(text), extra=extra)


def _literal(text: str) -> str:
    return quoted(text).replace("%", "%%")


def _capitalized(text: str) -> str:
    return text[:1].upper() + text[1:]


def safe_log(level: int, text: str, *args: Any, **more: Any) -> None:
    """Log a text that begins with its signature in square brackets, which goes into the extras too.

    What a filter, a handler or a formatter raises is printed, as `logging` itself does, and not raised.
    """
    more.setdefault("extra", {"ws_signature": text[1 : text.index("]")]})
    try:
        logger.log(level, text, *args, stacklevel=2, **more)
    except KeyboardInterrupt:
        raise
    except BaseException:
        if logging.raiseExceptions:
            why, message = readable(traceback.format_exc), readable(lambda: text % args)
            with contextlib.suppress(Exception):
                print(f"--- Logging error ---\n{why}Message: {message}", file=sys.stderr)


def outlives(path: str, limit: float, where: str, route: str = "") -> None:
    """Log that an app is still cleaning up that many seconds after the end (O16)."""
    if logger.isEnabledFor(logging.INFO):
        text = f"The app is still cleaning up {limit:g} s after the connection was over{place(where)}."
        extra = {"ws_path": _text(path), "ws_signature": "wsguard-O16", "ws_where": _text(where)}
        _log(logging.INFO, "O16", path, route, text, extra)


def _sentence(outcome: Outcome, facts: Facts) -> str:
    limit = getattr(facts.options, outcome.value, None)
    overrun = ""
    if facts.overrun is not None:
        overrun = OVERRUNS[facts.overrun[0]].format(seconds=facts.overrun[1])
    text = SENTENCES[outcome].format(ended=facts.ended, limit=limit, overrun=overrun, code=facts.code)
    if outcome is Outcome.CLOSED and facts.stuck:
        text += ", and the client did not answer in time"
    return text


def _told(report: ConnectionReport, delivery: Delivery) -> str:
    told = report.status or report.close_code
    if delivery.refusal is not None:
        refusal = readable(lambda: repr(delivery.refusal))
        return f"The guard's answer {delivery.final.told} was refused with {refusal}. The rest is left to the server."
    if not delivery.in_time:
        return "The server did not take the answer in time (E4). The rest is left to it."
    if delivery.final.crash:
        return "The answer is left to the server."
    if told is None:
        return "Nothing more was sent."
    if report.closed_by == "client":
        return f"Its close code was {told}."
    if report.close_code is None:
        return f"The client got status {told}."
    return f"The client was closed with {told}."


def _extra(report: ConnectionReport, clause: str) -> dict[str, Any]:
    """Return the fields of the report for handlers that write them out, escaped as in the line."""
    fields = {name: _field(getattr(report, name)) for name in report.__slots__}
    return {f"ws_{name}": value for name, value in {**fields, "signature": f"wsguard-{clause}"}.items()}


def _field(value: Any) -> Any:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, Outcome):
        return value.value
    if isinstance(value, tuple):
        return [printable(str(violation)) for violation in value]
    return value


def _text(text: str) -> str:
    return printable(shortened(text, LONGEST_TEXT))


def quoted(path: str) -> str:
    """Return the path for a line: unprintable characters and quotes are escaped."""
    return repr(shortened(path, LONGEST_TEXT))


def place(where: str) -> str:
    """Return the app's line of code, in brackets."""
    return f" ({where})" if where else ""
