"""In the server's process, captures all that is logged at WARNING or above, and attributes it to a visit."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Callable

from asgi_wsguard.compare import served
from asgi_wsguard.compare.journal import PLAY, write
from asgi_wsguard.testing.tasks import context_of

# The parts of a line that vary from run to run, or between the sides.
VARYING = re.compile(
    r"0x[0-9a-f]+|Task-\d+|\b\d+(\.\d+)?\b|/\S+(?=/site-packages/)|/(bare|guarded)\b|\[[0-9a-f-]{36}\]|\(/\S+:\d+\)"
)


def capture(elsewhere: Callable[[], str] = str) -> None:
    """Write each record to the journal, whatever its logger, and whatever the handlers do with it.

    Args:
        elsewhere: returns the visit for what is logged outside of every visit's tasks. Default none.
    """
    handle = logging.Logger.handle

    def write_down(text: str, exc: BaseException | None) -> None:
        first = text.strip().partition("\n")[0]
        play = (exc and _play_of(exc)) or PLAY.get() or elsewhere()
        write("log", play, "", f"{first} [{type(exc).__name__}]" if exc else first)

    def caught(self: logging.Logger, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            exc = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
            write_down(f"{record.levelname} {record.name}: {record.getMessage()}", exc)
        handle(self, record)

    logging.Logger.handle = caught  # type: ignore[method-assign]
    warnings.simplefilter("always", RuntimeWarning)  # for example "never awaited", on each side
    warnings.filterwarnings("always", "received data from websocket while listening for client disconnect")  # Litestar
    # asgiref warns once of granian's `send` (2.8.7), which is not a coroutine function, so only one side has it.
    warnings.filterwarnings("ignore", "async_to_sync was passed a non-async-marked callable")
    logging.captureWarnings(True)
    sys.unraisablehook = lambda args: write_down(f"unraisable {args.err_msg}", args.exc_value)
    threading.excepthook = lambda args: write_down("a thread failed", args.exc_value)


def comparable(text: str) -> str:
    """Return the part of a log line that is compared."""
    return VARYING.sub("…", text)


def _play_of(exc: BaseException) -> str:
    """Return the visit in whose app it was raised. Servers may log it in another context."""
    for one in _with_causes(exc, set()):
        for frame in _frames(one.__traceback__):
            if frame.f_globals.get("__name__") == served.__name__ and "play" in frame.f_locals:
                return str(frame.f_locals["play"])
    return ""


def _with_causes(exc: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        for other in (exc.__cause__, exc.__context__, *getattr(exc, "exceptions", ())):
            yield from _with_causes(other, seen)


def _frames(traceback: TracebackType | None) -> Iterator[Any]:
    while traceback is not None:
        yield traceback.tb_frame
        traceback = traceback.tb_next


def attribute_loop_errors() -> None:
    """Make asyncio log "Task exception was never retrieved" in the context of that task."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # trio
        return
    before = loop.get_exception_handler()
    if getattr(before, "attributes", False):
        return

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        task = context.get("task") or context.get("future")
        run = context_of(task).copy().run if isinstance(task, asyncio.Task) else lambda handle, *args: handle(*args)
        if before is None:
            run(loop.default_exception_handler, context)
        else:
            run(before, loop, context)

    handler.attributes = True  # type: ignore[attr-defined]
    loop.set_exception_handler(handler)
