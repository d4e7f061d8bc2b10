"""How a drain goes, and what it comes to."""

from __future__ import annotations

from dataclasses import dataclass

from ..arguments import check_close, check_seconds


@dataclass(frozen=True)
class Manner:
    """The times of a drain, in seconds, and what it closes with."""

    grace: float
    spread: float
    code: int
    reason: str

    def __post_init__(self) -> None:
        check_seconds("grace", self.grace)
        check_seconds("spread", self.spread)
        check_close(self.code, self.reason)


@dataclass(frozen=True)
class Drained:
    """What a drain came to: of the connections that were there when it began, each is counted once.

    Attributes:
        ended: they ended by themselves, before their turn.
        closed: the drain closed them, or denied the handshake that had no answer yet, and their apps ended.
        cancelled: their apps went on after the end for ``exit_timeout``, and were cancelled.
    """

    ended: int
    closed: int
    cancelled: int

    def __str__(self) -> str:
        return f"{self.ended} ended by themselves, {self.closed} were closed, {self.cancelled} were cancelled"
