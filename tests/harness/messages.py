"""What apps send: each kind of message, right and wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "hi"}
CLOSE = {"type": "websocket.close"}
START = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-app", b"1")]}
BODY = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}
LAST_BODY = {"type": "websocket.http.response.body", "body": b"no"}

DISCONNECT = "websocket.disconnect"


# What is sent when the client has left before it had an answer: some servers wait for it.
LETS_GO = {"type": "websocket.close", "code": 1000, "reason": ""}

OFFERED = ["chat"]
APP_HEADERS = [(b"content-length", b"4"), (b"x-app", b"1")]

# By name; a test copies what it sends.
MESSAGES: dict[str, Any] = {
    "accept": {"type": "websocket.accept", "subprotocol": "chat", "headers": [(b"x-app", b"1")]},
    "accept: subprotocol not offered": {"type": "websocket.accept", "subprotocol": "other"},
    "accept: bad header": {"type": "websocket.accept", "headers": [(b"x-app", b"1\r\nx-more: 1")]},
    "text": {"type": "websocket.send", "text": "hi"},
    "text and bytes": {"type": "websocket.send", "text": "hi", "bytes": b"hi"},
    "close": {"type": "websocket.close", "code": 4001, "reason": "bye"},
    "close: 1006": {"type": "websocket.close", "code": 1006},
    "close: 99999": {"type": "websocket.close", "code": 99999},
    "start": {"type": "websocket.http.response.start", "status": 401, "headers": APP_HEADERS},
    "body": {"type": "websocket.http.response.body", "body": b"no", "more_body": True},
    "last body": {"type": "websocket.http.response.body", "body": b"no"},
    "unknown": {"type": "websocket.nonsense"},
}

MORE_MESSAGES: dict[str, Any] = {
    **MESSAGES,
    "bytes": {"type": "websocket.send", "bytes": b"1", "text": None},
    "bytearray": {"type": "websocket.send", "bytes": bytearray(b"1")},
    "no data": {"type": "websocket.send"},
    "text is bytes": {"type": "websocket.send", "text": b"hi"},
    "close: no code": {"type": "websocket.close"},
    "close: long reason": {"type": "websocket.close", "code": 1001, "reason": "é" * 100},
    "close: reason is no text": {"type": "websocket.close", "reason": "\ud800" * 50},
    "start: bad status": {"type": "websocket.http.response.start", "status": 101},
    "start: bad header": {"type": "websocket.http.response.start", "status": 401, "headers": [("a", "b")]},
    "body: text": {"type": "websocket.http.response.body", "body": "no"},
    "no type": {},
    "type is a list": {"type": []},
    "no dict": None,
    "text is no dict": "websocket.accept",
}
OTHER = {"type": "websocket.accept", "subprotocol": "other"}
