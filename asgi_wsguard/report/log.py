"""What happened, in one log line: what the app did, on which path, where, and what the client was told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .. import lines
from ..endings import Meaning
from ..lifecycle import Ending, Repaired, Settlement
from ..messages import Message

if TYPE_CHECKING:
    from ..middleware import Options

logger = logging.getLogger("asgi_wsguard")

# What the app did, by the clause that answers it.
DEEDS = {
    "H1": "the app returned without answering the handshake",
    "H2": "the app {ended} before it answered the handshake",
    "H3": "the app {ended} before it answered the handshake",
    "H4": "the app had not answered the handshake after {limit:g} s",
    "H7": "the app began a denial response and {ended} before its body",
    "H8": "the app {ended} inside the body of its denial response",
    "H9": "the app {ended} inside the body of its denial response, which the server cannot send",
    "O1": "the app returned without closing the websocket",
    "O2": "the app {ended} on an open websocket",
    "O3": "the app {ended} on an open websocket",
    "O13": "no message came or went for {limit:g} s",
    "O14": "the connection was open for {limit:g} s",
    "O15": "the app was stuck for {limit:g} s in sending to a client that does not read",
    "E9": "the app was not called, as max_connections={limit} is reached",
    "E2": "the app {ended}, as the connection was over",
    "": "the app {ended} after the connection was over",
}
EVERYDAY = frozenset({"H3", "H9", "O1", "O3", "O13", "O14", "E2"})
ODD = frozenset({"O15", "E9"})


def repaired(scope: Message, repair: Repaired) -> None:
    """Log what the guard repaired; called on the way of the app's own `send()`."""
    where = _place(lines.of_caller())
    logger.warning("[%s] %r: %s%s; %s", repair.clause, scope.get("path", ""), repair.what, where, repair.done)


def ended(
    scope: Message,
    settlement: Settlement,
    meaning: Meaning,
    app: object,
    exc: BaseException | None = None,
    refusal: Exception | None = None,
) -> None:
    """Log how an app ended that left something owing, or raised.

    Args:
        scope: the scope, for the path and the endpoint.
        settlement: what was owed.
        meaning: how the app ended.
        app: the app.
        exc: what the app raised.
        refusal: what the server answered to it with, where it refused.
    """
    clause = settlement.clause
    if clause in ("", "H12"):
        if exc is None or meaning.ending is Ending.CANCELLED:
            return
        clause = "E2" if meaning.handled else ""
    everyday = clause in EVERYDAY or meaning.handled or meaning.ending is Ending.CANCELLED
    level = logging.DEBUG if everyday and refusal is None else logging.ERROR
    if logger.isEnabledFor(level):
        deed = meaning.ending.value if exc is None else f"{meaning.ending.value} {type(exc).__name__}"
        if meaning.ending is Ending.CANCELLED:
            deed = meaning.ending.value
        where = lines.of_exception(exc) if exc is not None else lines.of_app(scope, app)
        logger.log(
            level,
            "[%s] %r: %s%s; %s",
            clause or "O2",
            scope.get("path", ""),
            DEEDS[clause].format(ended=deed),
            _place(where),
            _told(settlement, refusal),
        )


def reached(
    scope: Message,
    app: object,
    coroutine: object,
    options: Options,
    ending: Ending,
    settlement: Settlement,
    refusal: Exception | None,
) -> None:
    """Log that a limit ended the connection.

    Args:
        scope: the scope, for the path and the endpoint.
        app: the app.
        coroutine: what runs the app, for the line where it waits; `None` if it does not run.
        options: the limits.
        ending: which one it was; it has the name of the option.
        settlement: what was sent then.
        refusal: what the server answered to it with, where it refused.
    """
    clause = settlement.clause
    level = logging.DEBUG if clause in EVERYDAY else logging.WARNING if clause in ODD else logging.ERROR
    if refusal is not None:
        level = logging.ERROR
    if logger.isEnabledFor(level):
        deed = DEEDS[clause].format(limit=getattr(options, ending.name.lower()))
        place = _place(lines.of_waiting(coroutine) or lines.of_app(scope, app)) if clause in ("H4", "O15") else ""
        logger.log(level, "[%s] %r: %s%s; %s", clause, scope.get("path", ""), deed, place, _told(settlement, refusal))


def overran(scope: Message, app: object, coroutine: object, options: Options) -> None:
    """Log that the app went on for too long after the end of the connection."""
    logger.warning(
        "[O12] %r: the app went on for %g s after the connection was over%s; it was cancelled",
        scope.get("path", ""),
        options.exit_timeout,
        _place(lines.of_waiting(coroutine) or lines.of_app(scope, app)),
    )


def unpaid(scope: Message, settlement: Settlement, seconds: float | None) -> None:
    """Log that the server did not take what was owed in time."""
    logger.warning(
        "[E4] %r: the server did not take the answer of %s within %s s; left to the server",
        scope.get("path", ""),
        settlement.clause,
        seconds,
    )


def _told(settlement: Settlement, refusal: Exception | None) -> str:
    if refusal is not None:
        return f"the answer {settlement.told} was refused with {refusal!r}; the rest is left to the server"
    if settlement.crash:
        return "the answer is left to the server"
    if settlement.told is None:
        return "nothing more was sent"
    verb = "closed with" if settlement.told >= 1000 else "told"
    return f"the client was {verb} {settlement.told}"


def _place(line: str) -> str:
    return f" ({line})" if line else ""
