"""Starlette's exceptions, and so FastAPI's: what they ask for when they come out of an app."""

from __future__ import annotations

from typing import Any

from starlette import exceptions
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect

from ..denial import FRAMING_HEADERS, DenialResponse
from ..lifecycle import Verdict

# It came with 0.21; before, no exception is one.
_WebSocketException: Any = getattr(exceptions, "WebSocketException", ())


def verdict(exc: BaseException, *, accepted: bool) -> Verdict | None:
    """Return the answer for a `WebSocketException`, or for an `HTTPException` before accept."""
    if isinstance(exc, _WebSocketException):
        return Verdict(code=exc.code, reason=exc.reason or "")
    if isinstance(exc, HTTPException) and not accepted:
        return Verdict(denial=_denial(exc))
    return None


def is_disconnect(exc: BaseException) -> bool:
    """Tell whether this is Starlette's way to say that the client has left."""
    return isinstance(exc, WebSocketDisconnect)


def _denial(exc: HTTPException) -> DenialResponse:
    # The detail stays out of it: it is the exception's text, and no one handled the exception.
    headers = [
        (name, value)
        for name, value in (getattr(exc, "headers", None) or {}).items()
        if name.lower().encode("latin-1", "replace") not in FRAMING_HEADERS
    ]
    try:
        return DenialResponse.plain(exc.status_code, headers)
    except (TypeError, ValueError):
        return DenialResponse()
