"""An open websocket, as an admin page sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from anyio.lowlevel import current_token

from ..arguments import check_close
from ..lifecycle import Verdict
from ..messages import CloseCode

if TYPE_CHECKING:
    from ..connection import Connection


@dataclass(frozen=True)
class OpenConnection:
    """An open websocket, as it was when it was listed.

    Attributes:
        path: the path that the client asked for.
        route: the template of the path, such as ``/rooms/{room}``, where the framework says which; else empty.
        client: host and port of the client, as the server tells them; else empty.
        subprotocol: what the app accepted with; `None` for none.
        since: when it was accepted, in UTC.
    """

    path: str
    route: str
    client: str
    subprotocol: str | None
    since: datetime
    _connection: Connection = field(repr=False)
    _loop: object = field(repr=False)

    async def close(self, *, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """Close it, unless it is over. The app sees the disconnect, and has ``exit_timeout`` to end.

        It returns when the server has taken the close, at the latest after ``close_timeout``.

        Args:
            code: the close code. Default 1000.
            reason: the reason, up to 123 bytes of UTF-8. Default none.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: a code that may not be sent, or a reason that is too long.
            RuntimeError: the connection belongs to another event loop.
        """
        check_close(code, reason)
        if current_token() != self._loop:
            raise RuntimeError(f"{self.path!r} is served by another event loop; close it from there")
        close = self._connection.drain(Verdict(code=code, reason=reason))
        if close is not None:
            await self._connection.runtime.finished(close)
