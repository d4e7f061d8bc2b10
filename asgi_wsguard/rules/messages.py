"""The checks of single messages, whatever came before them. `lifecycle.py` calls them.

A check returns the message to send: the very object that the app sent, unless something in it has to be changed. A
change of the meaning is a repair: `repair` is called, which raises in strict mode. Any other change only writes the
same meaning in a form that every server understands.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, MutableMapping
from typing import Any, Callable

from ..exceptions import ProtocolViolation

Message = MutableMapping[str, Any]
Headers = Iterable[tuple[bytes, bytes]]
# clause, what the app did, what is expected, what was done instead
OnRepair = Callable[[str, str, str, str], None]

ACCEPT = "websocket.accept"
SEND = "websocket.send"
CLOSE = "websocket.close"
START = "websocket.http.response.start"
BODY = "websocket.http.response.body"

# RFC 6455 section 5.5: a control frame carries 125 bytes, two of them the code.
MAX_REASON = 123
# RFC 6455 section 5.5.1 keeps these off the wire, but an app may have received one and forward it, as proxies do.
NEAREST_CLOSE_CODE = {1004: 1011, 1005: 1000, 1006: 1011, 1015: 1011}

# RFC 9110 section 5.1: the name of a header is a token (section 5.6.2).
_is_token = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
# RFC 9110 section 5.5: no control characters in the value, except a tab.
_is_field_value = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
# The server itself sends these with the accept, or they do not belong in a 101 response (RFC 9110 sections 6.4.1 and
# 8.6).
_SERVERS_OWN = frozenset(
    {
        b"connection",
        b"content-length",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-protocol",
        b"transfer-encoding",
        b"upgrade",
    }
)


class CloseCode(enum.IntEnum):
    """The close codes that the guard itself sends (RFC 6455 section 7.4.1 and the IANA registry)."""

    NORMAL = 1000
    GOING_AWAY = 1001
    POLICY_VIOLATION = 1008
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013


def may_be_sent(code: int) -> bool:
    """Return whether a close frame may carry this code (RFC 6455 section 7.4)."""
    return 1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999


def checked_accept(message: Message, offered: Iterable[str], repair: OnRepair) -> Message:
    """Check a ``websocket.accept``: clauses H11 and H14."""
    checked = _with_checked_headers(message, "H11") if "headers" in message else message
    for name, _ in checked.get("headers", ()):
        lower = name.lower()
        if lower in _SERVERS_OWN:
            subprotocol = lower == b"sec-websocket-protocol"
            expected = "the subprotocol in 'subprotocol'" if subprotocol else "to leave it to the server"
            raise ProtocolViolation("H11", f"the app accepted with the header {lower.decode()}", expected)
    subprotocol = message.get("subprotocol")
    if subprotocol is not None and subprotocol not in offered:
        # RFC 6455 section 4.1: a client fails the connection if it gets a subprotocol that it did not request.
        offer = ", ".join(map(repr, offered)) or "none"
        what = f"the app accepted with subprotocol {subprotocol!r}"
        repair("H14", what, f"one that the client offered ({offer})", "accepted with none")
        checked = {**checked, "subprotocol": None}
    return checked


def _with_checked_headers(message: Message, clause: str) -> Message:
    headers = message.get("headers")
    checked = checked_headers([] if headers is None else headers, clause)
    return message if checked is headers else {**message, "headers": checked}


def checked_headers(headers: Any, clause: str) -> Headers:
    """Return the headers, or raise for the first that cannot be sent.

    A list or a tuple is returned as it is. The check exhausts an iterator, so a list is returned instead.
    """
    expected = "pairs of bytes: a token as the name, and a value without control characters"
    pairs = []
    same = isinstance(headers, (list, tuple))
    try:
        for pair in headers:
            name, value = pair
            pairs.append((name, value))
            same = same and isinstance(pair, (list, tuple))
    except (TypeError, ValueError):
        raise ProtocolViolation(clause, f"the app sent headers {headers!r}", expected) from None
    for index, (name, value) in enumerate(pairs):
        if not (isinstance(name, bytes) and _is_token(name) and isinstance(value, bytes) and _is_field_value(value)):
            raise ProtocolViolation(clause, f"the app sent the header {name!r}: {value!r}", expected)
        # RFC 9110 section 5.5: whitespace around a value is not part of it. h11 (0.16.0) refuses it, and uvicorn's
        # wsproto implementation (0.54.0) and hypercorn (0.18.0) then give the client no answer at all.
        bare = value.strip(b" \t")
        if bare != value:
            pairs[index], same = (name, bare), False
    return headers if same else pairs


def checked_data(message: Message, repair: OnRepair) -> Message:
    """Check a ``websocket.send``: clause O9."""
    text, data = message.get("text"), message.get("bytes")
    if (data is None and isinstance(text, str)) or (text is None and isinstance(data, bytes)):
        return message
    if (text is None) != (data is None):
        key, value = ("bytes", data) if text is None else ("text", text)
        read = value if isinstance(value, str) else _bytes_of(value)
        if read is not None:
            if key == "text" or not isinstance(value, (bytearray, memoryview)):
                what = f"the app sent websocket.send with {key}={type(value).__name__}"
                done = "sent as text" if isinstance(read, str) else "sent as binary"
                repair("O9", what, "str as 'text' or bytes as 'bytes'", done)
            # Daphne (4.2.3) refuses any type but bytes, and a view may change before it is written.
            rest = {key: value for key, value in message.items() if key not in ("text", "bytes")}
            return {**rest, "text" if isinstance(read, str) else "bytes": read}
    got = ", ".join(f"{key}={type(message[key]).__name__}" for key in ("text", "bytes") if key in message)
    raise ProtocolViolation("O9", f"the app sent websocket.send with {got or 'no data'}", "either 'text' or 'bytes'")


def _bytes_of(value: Any) -> bytes | None:
    """Return the content of a buffer, such as a bytearray or a numpy array; `None` if it has no bytes to send."""
    try:
        with memoryview(value) as view:
            # An array of objects holds pointers.
            return None if view.format.endswith("O") else view.tobytes()
    except (TypeError, ValueError, BufferError):
        return None


def checked_close(message: Message, repair: OnRepair) -> Message:
    """Check a ``websocket.close`` of an open connection: clause O4."""
    code, reason = message.get("code"), message.get("reason")
    sent = CloseCode.NORMAL.value if code is None else code
    if isinstance(sent, bool) or not isinstance(sent, int):
        raise ProtocolViolation("O4", f"the app closed with code {code!r}", "a number")
    if sent in NEAREST_CLOSE_CODE:
        sent = NEAREST_CLOSE_CODE[sent]
        what = f"the app closed with code {code}, which is never sent"
        repair("O4", what, f"one that can be sent, such as {sent}", f"closed with {sent}")
    if not may_be_sent(sent):
        raise ProtocolViolation("O4", f"the app closed with code {code}", "1000-1003, 1007-1014 or 3000-4999")
    kept = None if reason is None else _checked_reason(reason, repair)
    if kept is reason and (sent is code or "code" not in message):
        return message
    return {**message, "code": sent, "reason": kept}


def _checked_reason(reason: Any, repair: OnRepair) -> Any:
    if not isinstance(reason, str):
        what = f"the app closed with a reason of type {type(reason).__name__}"
        repair("O4", what, "text", "closed without the reason")
        return None
    encoded = str.encode(reason, "utf-8", "ignore")
    if encoded.decode() != reason:
        what = "the app closed with a reason that UTF-8 cannot encode"
        repair("O4", what, "text without lone surrogates", "these were left out")
    if len(encoded) > MAX_REASON:
        what = "the app closed with a reason too long for a frame"
        repair("O4", what, f"at most {MAX_REASON} bytes of UTF-8", "the reason was cut")
    kept = cut_reason(reason)
    return reason if kept == reason else kept


def cut_reason(reason: str) -> str:
    """Return the part of a reason that a close frame can carry: encodable in UTF-8, and cut between two characters."""
    return str.encode(reason, "utf-8", "ignore")[:MAX_REASON].decode("utf-8", "ignore")


def disconnect_after(close: Message) -> Message:
    """Return the disconnect that the app receives after this close."""
    code = close.get("code")
    return {
        "type": "websocket.disconnect",
        "code": CloseCode.NORMAL.value if code is None else code,
        "reason": close.get("reason") or "",
    }


def checked_start(message: Message) -> Message:
    """Check a ``websocket.http.response.start``: clause H10."""
    status = message.get("status")
    if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
        raise ProtocolViolation("H10", f"the app denied with status {status!r}", "a number from 200 to 599")
    # The specification allows a message without 'headers', but uvicorn 0.54.0 (wsproto) and hypercorn 0.18.0 raise
    # KeyError, and granian 2.8.7 refuses the message.
    return _with_checked_headers(message, "H10")


def checked_body(message: Message) -> Message:
    """Check a ``websocket.http.response.body``: clause H10."""
    # The specification allows a message without 'body', but uvicorn 0.54.0 raises KeyError.
    body, more = message.get("body", b""), message.get("more_body", False)
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise ProtocolViolation("H10", f"the app sent a body of type {type(body).__name__}", "bytes")
    if isinstance(body, bytes) and "body" in message and isinstance(more, bool):
        return message
    # Granian 2.8.7 takes any 'more_body' but True for the end of the response. Other servers use its truth value.
    return {**message, "body": bytes(body), "more_body": bool(more)}
