"""A kit to test websocket apps: an in-memory session with an app, on a server as strict as the ASGI spec."""

from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from asgi_wsguard.report import Violation
    from asgi_wsguard.testing.failures import ContractBroken, WebSocketClosed
    from asgi_wsguard.testing.server import Client, Denial, StrictServer
    from asgi_wsguard.testing.session import WebSocketSession
    from asgi_wsguard.testing.spec import IllegalSequence
else:
    from asgi_wsguard.lazy import lazily

    # The plugin is in this package.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "Client": ".server",
            "ContractBroken": ".failures",
            "Denial": ".server",
            "IllegalSequence": ".spec",
            "StrictServer": ".server",
            "Violation": "asgi_wsguard.report",
            "WebSocketClosed": ".failures",
            "WebSocketSession": ".session",
        },
    )
