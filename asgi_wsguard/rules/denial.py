"""The response that refuses a handshake over HTTP (the ``websocket.http.response`` extension)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from ..exceptions import ProtocolViolation
from .messages import BODY, START, Message, checked_headers

# Servers frame the response themselves. Strict clients refuse a response with a second copy of one of these.
FRAMING_HEADERS = frozenset({b"content-length", b"connection", b"transfer-encoding"})
# RFC 9110 section 6.4.1 and 15.3.6: these have no body.
BODILESS = frozenset({204, 205, 304})


@dataclass(frozen=True)
class DenialResponse:
    """The response to a handshake that the app has not answered.

    Args:
        status: the HTTP status, 200 to 599. Default 500.
        body: text is sent as ``text/plain``, anything else as JSON. Default ``"Internal Server Error"``.
        headers: a mapping, or pairs, of names and values, as text or bytes. A ``content-type`` replaces the one that
            follows from the body. Default none.

    Raises:
        TypeError: a value has the wrong type, or the body is neither text nor JSON.
        ValueError: a status, a header or text that cannot be sent; ``content-length``, ``connection`` or
            ``transfer-encoding``, which the server adds itself; a body with a status that allows none.
    """

    status: int = 500
    body: Any = "Internal Server Error"
    headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ()

    def __post_init__(self) -> None:
        if isinstance(self.status, bool) or not isinstance(self.status, int):
            raise TypeError(f"DenialResponse: status must be a whole number, not {self.status!r}")
        if not 200 <= self.status <= 599:
            raise ValueError(f"DenialResponse: status must be from 200 to 599, not {self.status!r}")
        if self.body != "" and self.status in BODILESS:
            raise ValueError(f"DenialResponse: body must be empty with status {self.status}, not {self.body!r}")
        # Encoded now, so that an invalid value raises when the response is made.
        object.__setattr__(self, "headers", _encoded(self.headers))
        object.__setattr__(self, "_content", _content(self.body))

    @classmethod
    def plain(cls, status: int, headers: Iterable[tuple[Any, Any]] = ()) -> DenialResponse:
        """Make a response whose body is the standard phrase of its status."""
        try:
            phrase = "" if status in BODILESS else HTTPStatus(status).phrase
        except ValueError:
            phrase = ""
        return cls(status, phrase, headers)

    def messages(self) -> tuple[Message, Message]:
        """Return the two ASGI messages that send it."""
        content_type, body = self._content  # type: ignore[attr-defined]
        headers = list(self.headers)
        if body and not any(name.lower() == b"content-type" for name, _ in headers):
            headers.insert(0, (b"content-type", content_type))
        return (
            {"type": START, "status": self.status, "headers": headers},
            {"type": BODY, "body": body, "more_body": False},
        )


def sendable(headers: Any) -> list[tuple[bytes, bytes]]:
    """Return only the headers that a `DenialResponse` may have."""
    kept: list[tuple[bytes, bytes]] = []
    for pair in headers.items() if isinstance(headers, Mapping) else headers:
        with suppress(TypeError, ValueError):
            kept.extend(_encoded([pair]))
    return kept


def _content(body: Any) -> tuple[bytes, bytes]:
    if isinstance(body, str):
        try:
            return b"text/plain; charset=utf-8", body.encode()
        except UnicodeEncodeError as exc:
            raise ValueError(f"DenialResponse: body must be text that UTF-8 can encode ({exc})") from None
    try:
        return b"application/json", json.dumps(body, allow_nan=False).encode()
    except (TypeError, ValueError) as exc:
        raise TypeError(f"DenialResponse: body must be text or JSON, not {body!r} ({exc})") from None


def _encoded(headers: Any) -> tuple[tuple[bytes, bytes], ...]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    try:
        encoded = [(_bytes(name), _bytes(value)) for name, value in pairs]
    except (TypeError, ValueError):
        raise TypeError(f"DenialResponse: headers must be pairs of text or bytes, not {headers!r}") from None
    try:
        checked = tuple(checked_headers(encoded, "H11"))
    except ProtocolViolation as exc:
        raise ValueError(f"DenialResponse: headers cannot be sent: {exc}") from None
    for name, _ in checked:
        if name.lower() in FRAMING_HEADERS:
            raise ValueError(f"DenialResponse: headers must leave {name.decode()!r} to the server")
    return checked


def _bytes(part: Any) -> bytes:
    if isinstance(part, str):
        return part.encode("latin-1")
    if isinstance(part, bytes):
        return part
    raise TypeError
