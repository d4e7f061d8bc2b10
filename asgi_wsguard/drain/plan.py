"""The plan of a drain, and its result."""

from __future__ import annotations

from dataclasses import dataclass

from ..arguments import check_close, check_seconds


@dataclass(frozen=True)
class DrainPlan:
    """The times of a drain, in seconds, and its close code and reason."""

    grace: float
    spread: float
    code: int
    reason: str
    exit_timeout: float

    def __post_init__(self) -> None:
        check_seconds("grace", self.grace)
        check_seconds("spread", self.spread)
        check_close(self.code, self.reason)
        check_seconds("exit_timeout", self.exit_timeout)


@dataclass(frozen=True)
class Drained:
    """The result of a drain. Each connection that existed when it began is counted once.

    Attributes:
        ended: connections that ended on their own, before their turn.
        closed: connections that the drain closed, or whose handshake it denied, and whose app has ended.
        cancelled: connections whose app was still running ``exit_timeout`` after the end, and was cancelled.
    """

    ended: int
    closed: int
    cancelled: int

    def __str__(self) -> str:
        return f"{self.ended} ended on their own, {self.closed} were closed, {self.cancelled} were cancelled"
