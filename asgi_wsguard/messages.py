"""What one message of the app may hold, whatever came before it. Pure, like `lifecycle.py`, which asks.

A check returns the message to send. Where it repairs the message it returns a copy, and tells `repair`, which raises
in strict mode.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, MutableMapping
from typing import Any, Callable

from .exceptions import ProtocolViolation

Message = MutableMapping[str, Any]
Headers = list[tuple[bytes, bytes]]
# clause, what the app did, what is expected, what was done instead
Repair = Callable[[str, str, str, str], None]

ACCEPT = "websocket.accept"
SEND = "websocket.send"
CLOSE = "websocket.close"
START = "websocket.http.response.start"
BODY = "websocket.http.response.body"

# RFC 6455 section 5.5: a control frame carries 125 bytes, two of them the code.
MAX_REASON = 123
# RFC 6455 section 5.5.1 keeps these off the wire, but an app may have received one and hand it on, as proxies do.
NEAREST_CLOSE_CODE = {1004: 1011, 1005: 1000, 1006: 1011, 1015: 1011}


class CloseCode(enum.IntEnum):
    """The close codes that the guard itself sends (RFC 6455 section 7.4.1 and the IANA registry)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013


def may_be_sent(code: int) -> bool:
    """Tell whether a close frame may carry this code (RFC 6455 section 7.4)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def checked_accept(message: Message, offered: Iterable[str], repair: Repair) -> Message:
    """Check a ``websocket.accept``: clauses H11 and H14."""
    headers = message.get("headers")
    checked: Message = {**message, "headers": checked_headers(headers, "H11")} if "headers" in message else message
    for name, _ in checked.get("headers", ()):
        if name.lower() == b"sec-websocket-protocol":
            raise ProtocolViolation(
                "H11", "the app accepted with a sec-websocket-protocol header", "the subprotocol in 'subprotocol'"
            )
    subprotocol = message.get("subprotocol")
    if subprotocol is not None and subprotocol not in offered:
        # RFC 6455 section 4.1: a client fails the connection on a subprotocol that it did not ask for.
        offer = ", ".join(map(repr, offered)) or "none"
        what = f"the app accepted with subprotocol {subprotocol!r}"
        repair("H14", what, f"one that the client offered ({offer})", "accepted with none")
        checked = {**checked, "subprotocol": None}
    return checked


def checked_headers(headers: Any, clause: str) -> Headers:
    """Return the headers as a list, or raise for the first that cannot go on the wire."""
    expected = "pairs of bytes without CR, LF or NUL, with a name that is neither empty nor begins with ':'"
    pairs = []
    try:
        for name, value in headers or ():
            pairs.append((name, value))
    except (TypeError, ValueError):
        raise ProtocolViolation(clause, f"the app sent headers {headers!r}", expected) from None
    for name, value in pairs:
        if not (_is_header(name) and _is_header(value) and name and not name.startswith(b":")):
            raise ProtocolViolation(clause, f"the app sent the header {name!r}: {value!r}", expected)
    return pairs


def _is_header(part: Any) -> bool:
    return isinstance(part, bytes) and not any(byte in part for byte in b"\r\n\0")


def checked_data(message: Message) -> Message:
    """Check a ``websocket.send``: clause O9."""
    text, data = message.get("text"), message.get("bytes")
    if data is None and isinstance(text, str):
        return message
    if text is None:
        if isinstance(data, bytes):
            return message
        if isinstance(data, (bytearray, memoryview)):
            # Daphne refuses any other type than bytes, and a view may change before it is written.
            return {**message, "bytes": bytes(data)}
    got = ", ".join(f"{key}={type(message[key]).__name__}" for key in ("text", "bytes") if key in message)
    raise ProtocolViolation("O9", f"the app sent websocket.send with {got or 'no data'}", "either 'text' or 'bytes'")


def checked_close(message: Message, repair: Repair) -> Message:
    """Check a ``websocket.close`` of an open connection: clause O4."""
    code, reason = message.get("code"), message.get("reason")
    sent = CloseCode.NORMAL.value if code is None else code
    if isinstance(sent, bool) or not isinstance(sent, int):
        raise ProtocolViolation("O4", f"the app closed with code {code!r}", "a number")
    if not (reason is None or isinstance(reason, str)):
        raise ProtocolViolation("O4", f"the app closed with reason {reason!r}", "text")
    if sent in NEAREST_CLOSE_CODE:
        sent = NEAREST_CLOSE_CODE[sent]
        what = f"the app closed with code {code}, which is never sent"
        repair("O4", what, f"one that can be sent, such as {sent}", f"closed with {sent}")
    if not may_be_sent(sent):
        raise ProtocolViolation("O4", f"the app closed with code {code}", "1000-1003, 1007-1014 or 3000-4999")
    kept = cut_reason(reason or "")
    if kept != (reason or ""):
        what = "the app closed with a reason too long for a frame"
        repair("O4", what, f"at most {MAX_REASON} bytes of UTF-8", "the reason was cut")
    if sent == code and kept == reason:
        return message
    return {**message, "code": sent, "reason": kept}


def cut_reason(reason: str) -> str:
    """Cut a close reason to what a frame can carry, between two characters."""
    return reason.encode("utf-8", "ignore")[:MAX_REASON].decode("utf-8", "ignore")


def checked_start(message: Message) -> Message:
    """Check a ``websocket.http.response.start``: clause H10."""
    status = message.get("status")
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise ProtocolViolation("H10", f"the app denied with status {status!r}", "a number from 200 to 599")
    return {**message, "headers": checked_headers(message.get("headers"), "H10")}


def checked_body(message: Message) -> Message:
    """Check a ``websocket.http.response.body``: clause H10."""
    body = message.get("body", b"")
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise ProtocolViolation("H10", f"the app sent a body of type {type(body).__name__}", "bytes")
    return {**message, "body": bytes(body), "more_body": bool(message.get("more_body", False))}
