"""Guard the life of every ASGI websocket: each handshake answered, each open websocket closed, on every server."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"

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

if TYPE_CHECKING:
    from .drain import Drained, Drainer, OpenConnection
    from .exceptions import ClientDisconnected, ProtocolViolation
    from .middleware import WebSocketGuardMiddleware
    from .report import ConnectionReport, Outcome, Violation
    from .rules.denial import DenialResponse
else:
    from .lazy import lazily

    # pytest imports this package at each start, for the plugin, and most runs use nothing of it.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "ClientDisconnected": ".exceptions",
            "ConnectionReport": ".report",
            "DenialResponse": ".rules.denial",
            "Drained": ".drain",
            "Drainer": ".drain",
            "OpenConnection": ".drain",
            "Outcome": ".report",
            "ProtocolViolation": ".exceptions",
            "Violation": ".report",
            "WebSocketGuardMiddleware": ".middleware",
        },
    )
