"""Where it happened, in the user's own code: file and line, or an empty string where no line is the user's."""

from __future__ import annotations

import inspect
import os
import sysconfig
from collections.abc import Iterable, Iterator
from traceback import walk_stack
from types import CodeType, TracebackType
from typing import Any

from .messages import Message

_LIBRARIES = ("<frozen ", *{sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")})
_HERE = os.path.dirname(__file__)
_FOLDERS = ("check", "cli", "connection", "drain", "report", "runtime", "testing")
_OURS = frozenset({_HERE, *(os.path.join(_HERE, folder) for folder in _FOLDERS)})


def of_exception(exc: BaseException) -> str:
    """Return the line of the deepest frame that is the user's."""
    lines = [(step.tb_frame.f_code, step.tb_lineno) for step in _steps(exc.__traceback__)]
    return _first_of_user(reversed(lines))


def of_waiting(coroutine: Any, *, anyone: bool = False) -> str:
    """Return the line of the innermost frame that is the user's in what a coroutine awaits; else, maybe, anyone's."""
    lines: list[tuple[CodeType, int]] = []
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            lines.append((frame.f_code, frame.f_lineno))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return _first_of_user(reversed(lines)) or (_text(*lines[-1]) if anyone and lines else "")


def of_caller() -> str:
    """Return the line of the nearest frame that is the user's and is running now."""
    return _first_of_user((frame.f_code, line) for frame, line in walk_stack(None))


def of_app(scope: Message, app: object) -> str:
    """Return the line of the endpoint, where the framework says which it is, or of the app."""
    for candidate in (scope.get("endpoint"), getattr(scope.get("route_handler"), "fn", None), _innermost(app)):
        source: Any = candidate if inspect.isroutine(candidate) or inspect.isclass(candidate) else type(candidate)
        try:
            file, line = inspect.getsourcefile(source), inspect.getsourcelines(source)[1]
        except (OSError, TypeError):
            continue  # built in, or made at run time
        if file and _is_users(file):
            return f"{file}:{line}"
    return ""


def _innermost(app: object) -> object:
    """Return the app inside what wraps it: middleware keeps it as `app`."""
    for _ in range(20):
        app = getattr(app, "app", app)
    return app


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _first_of_user(lines: Iterable[tuple[CodeType, int]]) -> str:
    for code, line in lines:
        if _is_users(code.co_filename):
            return _text(code, line)
    return ""


def _text(code: CodeType, line: int) -> str:
    return f"{code.co_filename}:{line}"


def _is_users(file: str) -> bool:
    return not (file.startswith(_LIBRARIES) or os.path.dirname(file) in _OURS)
