"""The differences of two plays that are no improvements."""

from __future__ import annotations

from asgi_wsguard.compare import happened
from asgi_wsguard.compare.happened import Difference, Happened
from harmless.improvements import Improvement
from harmless.model import seconds


def differences(bare: Happened, guarded: Happened) -> dict[str, Difference]:
    """Return what differs, by its part."""
    return happened.differences(bare, guarded, max(seconds(1), 0.4))


def faults(bare: Happened, guarded: Happened, improvements: list[Improvement]) -> list[str]:
    """Return the differences that are no improvements, and the improvements that do not happen any more."""
    found = differences(bare, guarded)
    wrong = []
    for improvement in improvements:
        difference = found.pop(improvement.part, None)
        if difference is None:
            if not improvement.sometimes:
                wrong.append(f"{improvement.clause} is no improvement any more: {improvement.part} is the same")
        elif not improvement.explains(difference.bare, difference.guarded):
            wrong.append(f"{improvement.clause} explains it otherwise: {difference}")
    return wrong + [f"not the same: {difference}" for difference in found.values()]
