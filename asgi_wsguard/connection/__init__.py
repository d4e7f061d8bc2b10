"""One websocket: the rules applied to the live `receive` and `send`.

`guard` puts the parts together and keeps the deadlines. `ending` ends the connection. `inbox` is the app's `receive()`,
and `outbox` its `send()`: only these two await the server. `record` notes what happens and makes the one report.
`tracker`, which the others share, knows the state of the connection, and has its one timer. `app_exit` reads the
exception that the app ended with.
"""

from __future__ import annotations

from .guard import App, Connection
from .inbox import Receive
from .outbox import Send

__all__ = ["App", "Connection", "Receive", "Send"]
