"""Guard the life of every ASGI websocket: each handshake answered, each open websocket closed, on every server."""

from .denial import DenialResponse
from .exceptions import ClientDisconnected, ProtocolViolation
from .middleware import WebSocketGuardMiddleware

__all__ = ["ClientDisconnected", "DenialResponse", "ProtocolViolation", "WebSocketGuardMiddleware"]
