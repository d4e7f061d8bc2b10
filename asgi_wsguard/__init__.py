"""Guard the life of every ASGI websocket: each handshake answered, each open websocket closed, on every server."""

from .denial import DenialResponse
from .exceptions import ClientDisconnected, ProtocolViolation
from .middleware import WebSocketGuardMiddleware
from .report import ConnectionReport, Outcome, Violation

__all__ = [
    "ClientDisconnected",
    "ConnectionReport",
    "DenialResponse",
    "Outcome",
    "ProtocolViolation",
    "Violation",
    "WebSocketGuardMiddleware",
]
