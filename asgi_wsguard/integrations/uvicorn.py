"""A quirk of uvicorn: the disconnect that it sends when it is stopping."""

from __future__ import annotations

from typing import Any

from ..rules.messages import CloseCode

SERVICE_RESTART = int(CloseCode.SERVICE_RESTART)  # see `states.OPEN`


def server_stops(disconnect: Any) -> bool:
    """Return whether the server has closed the connection because it is stopping.

    uvicorn (0.54.0) then sends the app a disconnect with 1012 and without a reason. If the client sent that code, there
    is a reason.
    """
    return disconnect.get("code") == SERVICE_RESTART and "reason" not in disconnect
