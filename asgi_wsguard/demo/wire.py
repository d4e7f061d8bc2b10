"""Records the status that uvicorn answers a handshake with, because no browser reveals it."""

from __future__ import annotations

import re
from typing import Any, Callable

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ")

statuses: dict[str, int] = {}
"""The status, by the number of the visit, with which the path of its websocket ends."""


class Overheard:
    """A mix-in for uvicorn's websocket protocols that records the status of the answer."""

    def connection_made(self, transport: Any) -> None:
        """Take the connection (called by uvicorn)."""
        super().connection_made(_Transport(transport, self._wrote))  # type: ignore[misc]

    def _wrote(self, data: bytes) -> None:
        answer = _STATUS_LINE.match(data)
        scope = vars(self).get("scope")  # there is none before a handshake
        if answer and scope:
            statuses[scope["path"].rpartition("/")[2]] = int(answer[1])


class _Transport:
    """A transport that reports what is written."""

    def __init__(self, transport: Any, tell: Callable[[bytes], None]) -> None:
        self._transport = transport
        self._tell = tell

    def write(self, data: bytes) -> None:
        self._tell(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
