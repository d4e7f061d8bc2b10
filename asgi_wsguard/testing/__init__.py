"""Help for the tests of websocket apps: a session with an app, in memory, on a server as strict as the ASGI spec."""

from asgi_wsguard.report import Violation
from asgi_wsguard.testing.failures import ContractBroken, WebSocketClosed
from asgi_wsguard.testing.server import Client, Denial, StrictServer
from asgi_wsguard.testing.session import WebSocketSession
from asgi_wsguard.testing.spec import IllegalSequence

__all__ = [
    "Client",
    "ContractBroken",
    "Denial",
    "IllegalSequence",
    "StrictServer",
    "Violation",
    "WebSocketClosed",
    "WebSocketSession",
]
