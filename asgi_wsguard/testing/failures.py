"""The errors with which a session, or the pytest plugin, fails a test."""

from __future__ import annotations

from collections.abc import Iterable

from asgi_wsguard.report import Violation


class ContractBroken(AssertionError):
    """The app broke the ASGI spec, or left something behind.

    Attributes:
        violations: all violations, each once.
    """

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations: tuple[Violation, ...] = tuple(violations)
        super().__init__("\n".join(map(str, self.violations)))


class WebSocketClosed(Exception):
    """Nothing more can be sent or received: the websocket is closed, or the handshake was denied.

    Attributes:
        code: the close code; 1006 if there was no close frame.
        reason: the close reason.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(f"the websocket is closed with {code}" + (f": {reason}" if reason else ""))
        self.code: int = code
        self.reason: str = reason


def add_note(exc: BaseException, note: object) -> None:
    """Add a note to an exception, as Python 3.11 does."""
    exc.__notes__ = [*getattr(exc, "__notes__", ()), str(note)]


def in_a_line(exc: BaseException) -> str:
    """Return the type and the text of an exception. A group with a single exception is unwrapped."""
    while len(getattr(exc, "exceptions", ())) == 1:
        exc = exc.exceptions[0]  # type: ignore[attr-defined]
    text = " ".join(str(exc).split())
    return type(exc).__name__ + (f": {text}" if text else "")
