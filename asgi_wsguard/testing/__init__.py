"""Help for the tests of websocket apps: an in-memory server which is as strict as the ASGI spec."""

from asgi_wsguard.testing.server import Client, Denial, StrictServer
from asgi_wsguard.testing.spec import IllegalSequence

__all__ = ["Client", "Denial", "IllegalSequence", "StrictServer"]
