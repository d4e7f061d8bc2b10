"""What happened, in one log line: what the app did, on which path, where, and what the client was told."""

from __future__ import annotations

import inspect
import logging
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, TracebackType
from typing import Any

from .endings import Meaning
from .lifecycle import Ending, Repaired, Settlement
from .messages import Message

logger = logging.getLogger("asgi_wsguard")

# What the app did, by the clause that answers it.
DEEDS = {
    "H1": "the app returned without answering the handshake",
    "H2": "the app {ended} before it answered the handshake",
    "H3": "the app {ended} before it answered the handshake",
    "H7": "the app began a denial response and {ended} before its body",
    "H8": "the app {ended} inside the body of its denial response",
    "H9": "the app {ended} inside the body of its denial response, which the server cannot send",
    "O1": "the app returned without closing the websocket",
    "O2": "the app {ended} on an open websocket",
    "O3": "the app {ended} on an open websocket",
    "E2": "the app {ended}, as the connection was over",
    "": "the app {ended} after the connection was over",
}
EVERYDAY = frozenset({"H3", "H9", "O1", "O3", "E2"})

_LIBRARIES = tuple(
    {str(Path(sysconfig.get_path(name)).resolve()) for name in ("stdlib", "purelib", "platlib")}
    | {str(Path(__file__).resolve().parent)}
)


def repaired(scope: Message, repair: Repaired) -> None:
    """Log what the guard repaired."""
    logger.warning("[%s] %r: %s; expected %s", repair.clause, scope.get("path", ""), repair.what, repair.expected)


def ended(
    scope: Message,
    settlement: Settlement,
    meaning: Meaning,
    exc: BaseException | None = None,
    failure: BaseException | None = None,
) -> None:
    """Log how an app ended that left something owing, or raised.

    Args:
        scope: the scope, for the path and the endpoint.
        settlement: what was owed.
        meaning: how the app ended.
        exc: what the app raised.
        failure: why the debt could not be paid.
    """
    clause = settlement.clause
    if not clause:
        if exc is None or meaning.ending is Ending.CANCELLED:
            return
        clause = "E2" if meaning.handled else ""
    everyday = clause in EVERYDAY or meaning.handled or meaning.ending is Ending.CANCELLED
    level = logging.DEBUG if everyday and failure is None else logging.ERROR
    if logger.isEnabledFor(level):
        deed = meaning.ending.value if exc is None else f"{meaning.ending.value} {type(exc).__name__}"
        if meaning.ending is Ending.CANCELLED:
            deed = meaning.ending.value
        where = _line_of_exception(exc) if exc is not None else _line_of_endpoint(scope)
        logger.log(
            level,
            "[%s] %r: %s%s; %s",
            clause or "O2",
            scope.get("path", ""),
            DEEDS[clause].format(ended=deed),
            where and f" ({where})",
            _told(settlement, failure),
        )


def unpaid(scope: Message, settlement: Settlement, seconds: float | None) -> None:
    """Log that the server did not take what was owed in time."""
    logger.warning(
        "[E4] %r: the server did not take the answer of %s within %s s; left to the server",
        scope.get("path", ""),
        settlement.clause,
        seconds,
    )


def _told(settlement: Settlement, failure: BaseException | None) -> str:
    if failure is not None:
        return f"the answer {settlement.told} failed with {failure!r}, so it is left to the server"
    if settlement.crash:
        return "the answer is left to the server"
    if settlement.told is None:
        return "nothing more was sent"
    verb = "closed with" if settlement.told >= 1000 else "told"
    return f"the client was {verb} {settlement.told}"


def _line_of_exception(exc: BaseException) -> str:
    """Return file and line of the deepest frame that is the user's, or the deepest of all."""
    frames = list(_frames(exc.__traceback__))
    for code, line in reversed(frames):
        if not code.co_filename.startswith(_LIBRARIES):
            return f"{code.co_filename}:{line}"
    return ""


def _frames(traceback: TracebackType | None) -> Iterator[tuple[CodeType, int]]:
    while traceback is not None:
        yield traceback.tb_frame.f_code, traceback.tb_lineno
        traceback = traceback.tb_next


def _line_of_endpoint(scope: Message) -> str:
    """Return file and line of the endpoint, where the framework says which it is."""
    endpoint: Any = scope.get("endpoint")
    code = getattr(inspect.unwrap(endpoint), "__code__", None) if callable(endpoint) else None
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else ""
