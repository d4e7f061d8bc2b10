"""What the client got."""

from __future__ import annotations

from dataclasses import dataclass, field

ABNORMAL = 1006


@dataclass
class Observation:
    """What the client got."""

    status: int | None = None
    """Of the response: 101 and, over HTTP/2 and HTTP/3, 200 mean that the websocket is open."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    opened: bool = False
    subprotocol: str | None = None
    messages: list[str | bytes] = field(default_factory=list)
    code: int | None = None
    """Of the close: 1006 when the connection ended without one."""
    reason: str = ""
    cut: bool = False
    """The connection ended in the middle of the response."""
    left: bool = False
    """The client cut the connection itself."""
    fault: str = ""
    """What a browser would not have taken."""
    hung: bool = False
    """Nothing more came, and the client gave up waiting."""
    seconds: float = 0.0
