"""An open websocket, for example for an admin page."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from ..arguments import check_close
from ..rules.lifecycle import Answer
from ..rules.messages import CloseCode
from ..runtime import current_loop, runtime
from .drainable import Drainable


@dataclass(frozen=True)
class OpenConnection:
    """An open websocket, or one whose app outlives it, as it was when it was listed.

    Attributes:
        path: the path that the client asked for.
        route: the template of the path, such as ``/rooms/{room}``, if the framework tells it; else empty.
        client: host and port of the client, if the server tells them; else empty.
        subprotocol: the subprotocol that the app accepted with; `None` for none.
        since: when it was accepted, in UTC; if it never was, when its app was called.
        outlived: the connection is over, and its app has kept running for longer than ``exit_timeout``.
    """

    path: str
    route: str
    client: str
    subprotocol: str | None
    since: datetime
    outlived: bool
    _connection: Drainable = field(repr=False)
    _loop: object = field(repr=False)

    async def close(self, *, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close it, unless it is over. The app gets the disconnect, and then the middleware's limits apply to it.

        It returns when the server has taken the close, at the latest after ``close_timeout``.

        Args:
            code: the close code. Default 1000.
            reason: the reason, up to 123 bytes of UTF-8. Default none.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: the code must not be sent, or the reason is too long.
            RuntimeError: the connection belongs to another event loop.
        """
        check_close(code, reason)
        if current_loop() != self._loop:
            raise RuntimeError(f"{self.path!r} is served by another event loop; close it from there")
        close = self._connection.drain(Answer(code=code, reason=reason))
        if close is not None:
            await runtime().finished(close)
