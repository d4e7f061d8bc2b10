"""What happened, in one log line: what the app did, on which path, where, and what the client was told."""

from __future__ import annotations

import inspect
import logging
import os
import sysconfig
from collections.abc import Iterable, Iterator
from traceback import walk_stack
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

_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
_HERE = os.path.dirname(__file__)


def repaired(scope: Message, repair: Repaired) -> None:
    """Log what the guard repaired; called on the way of the app's own `send()`."""
    where = _place(_line_of_caller())
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
    if not clause:
        if exc is None or meaning.ending is Ending.CANCELLED:
            return
        clause = "E2" if meaning.handled else ""
    everyday = clause in EVERYDAY or meaning.handled or meaning.ending is Ending.CANCELLED
    level = logging.DEBUG if everyday and refusal is None else logging.ERROR
    if logger.isEnabledFor(level):
        deed = meaning.ending.value if exc is None else f"{meaning.ending.value} {type(exc).__name__}"
        if meaning.ending is Ending.CANCELLED:
            deed = meaning.ending.value
        where = _line_of_exception(exc) if exc is not None else _line_of_app(scope, app)
        logger.log(
            level,
            "[%s] %r: %s%s; %s",
            clause or "O2",
            scope.get("path", ""),
            DEEDS[clause].format(ended=deed),
            _place(where),
            _told(settlement, refusal),
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


def _line_of_exception(exc: BaseException) -> str:
    """Return file and line of the deepest frame that is the user's."""
    lines = [(step.tb_frame.f_code, step.tb_lineno) for step in _steps(exc.__traceback__)]
    return _first_of_user(reversed(lines))


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _line_of_caller() -> str:
    """Return file and line of the nearest frame that is the user's and is running now."""
    return _first_of_user((frame.f_code, line) for frame, line in walk_stack(None))


def _first_of_user(lines: Iterable[tuple[CodeType, int]]) -> str:
    for code, line in lines:
        if _is_users(code.co_filename):
            return f"{code.co_filename}:{line}"
    return ""


def _is_users(file: str) -> bool:
    return not (file.startswith(_LIBRARIES) or os.path.dirname(file) == _HERE)


def _innermost(app: object) -> object:
    """Return the app inside what wraps it: middleware keeps it as `app`."""
    for _ in range(20):
        app = getattr(app, "app", app)
    return app


def _line_of_app(scope: Message, app: object) -> str:
    """Return file and line of the endpoint, where the framework says which it is, or of the app."""
    for candidate in (scope.get("endpoint"), _innermost(app)):
        source: Any = candidate if inspect.isroutine(candidate) or inspect.isclass(candidate) else type(candidate)
        try:
            file, line = inspect.getsourcefile(source), inspect.getsourcelines(source)[1]
        except (OSError, TypeError):
            continue  # built in, or made at run time
        if file and _is_users(file):
            return f"{file}:{line}"
    return ""
