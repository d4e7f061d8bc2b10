"""The line of a result, and the printing of the lines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    what: str
    measured: str
    ratio: float | None = None
    target: float | None = None

    @property
    def verdict(self) -> str:
        if self.ratio is None or self.target is None:
            return ""
        return "met" if self.ratio <= self.target else "NOT MET"

    def __str__(self) -> str:
        ratio = "" if self.ratio is None else f"{self.ratio:.4g}"
        target = "" if self.target is None else f"at most {self.target:g}"
        return f"  {self.what:<36}{self.measured:>12}{ratio:>10}  {target:<14}{self.verdict}".rstrip()


def quotient(cost: float, reference: float | None) -> float | None:
    """Divide. A run that is too short to measure has no ratio."""
    return cost / reference if reference else None


HEADER = f"  {'':<36}{'measured':>12}{'ratio':>10}  target"


def duration(seconds: float) -> str:
    return f"{seconds * 1e9:,.0f} ns" if seconds < 1e-5 else f"{seconds * 1e6:,.1f} µs"
