"""What the client got."""

from __future__ import annotations

from dataclasses import dataclass, field

ABNORMAL = 1006


@dataclass
class Observation:
    """What the client got."""

    status: int | None = None
    """The status of the response. The websocket is open after 101, or over HTTP/2 and HTTP/3 after 200."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    opened: bool = False
    subprotocol: str | None = None
    messages: list[str | bytes] = field(default_factory=list)
    code: int | None = None
    """The close code; 1006 if the connection ended without a close frame."""
    reason: str = ""
    cut: bool = False
    """The connection ended in the middle of the response."""
    left: bool = False
    """The client left, or cut the connection, itself."""
    fault: str = ""
    """A fault for which a browser would have refused the answer."""
    hung: bool = False
    """Nothing more came, and the client gave up."""
    seconds: float = 0.0
