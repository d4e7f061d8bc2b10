"""What the apps of the random and the exhaustive tests send: each kind of message, right and wrong."""

from __future__ import annotations

from typing import Any

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
