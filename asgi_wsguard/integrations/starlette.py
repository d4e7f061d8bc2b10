"""Starlette's and FastAPI's exceptions, and the answers that they ask for when they escape from an app."""

from __future__ import annotations

from typing import Any

from starlette import exceptions, websockets
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect

from ..rules.denial import DenialResponse, sendable
from ..rules.lifecycle import Answer

# Since 1.10, a task that sends after another task got the disconnect gets this one, a RuntimeError. An app that sends
# after its own close gets it, too, which is a mistake.
_WebSocketDisconnected: Any = getattr(websockets, "WebSocketDisconnected", ())
# Exists since 0.21.
_WebSocketException: Any = getattr(exceptions, "WebSocketException", ())


def answer(exc: BaseException, *, accepted: bool) -> Answer | None:
    """Return the answer for a `WebSocketException`, or for an `HTTPException` before accept.

    Raises:
        Exception: the exception cannot be read, or its answer cannot be sent.
    """
    if isinstance(exc, _WebSocketException):
        code, reason = exc.code, exc.reason
        if isinstance(code, bool) or not isinstance(code, int):
            raise TypeError("the close code is not a number")
        return Answer(code=int(code), reason=reason if isinstance(reason, str) else "")
    if isinstance(exc, HTTPException) and not accepted:
        # Without the detail, which is the text of an exception that nobody has handled.
        return Answer(denial=DenialResponse.plain(exc.status_code, sendable(getattr(exc, "headers", None) or ())))
    return None


def is_disconnect(exc: BaseException, *, left: bool) -> bool:
    """Return whether this is one of Starlette's exceptions for a client that has left."""
    return isinstance(exc, WebSocketDisconnect) or (left and isinstance(exc, _WebSocketDisconnected))
