"""Guard the life of every ASGI websocket: each handshake answered, each open websocket closed, on every server."""

from .denial import DenialResponse
from .drain import Drained, Drainer, OpenConnection
from .exceptions import ClientDisconnected, ProtocolViolation
from .middleware import WebSocketGuardMiddleware
from .report import ConnectionReport, Outcome, Violation

__all__ = [
    "ClientDisconnected",
    "ConnectionReport",
    "DenialResponse",
    "Drained",
    "Drainer",
    "OpenConnection",
    "Outcome",
    "ProtocolViolation",
    "Violation",
    "WebSocketGuardMiddleware",
]
