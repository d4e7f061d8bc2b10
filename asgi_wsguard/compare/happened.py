"""The record of what happened to an app, and the differences of two records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# Headers of a denial that vary, or are about the transport.
TRANSPORT = {"connection", "content-length", "keep-alive", "transfer-encoding", "upgrade"}
UNTOLD = {"date", "sec-websocket-accept", "server", *TRANSPORT}
DENIED = "denied "
END = "end "
LONG = 60
HICCUP = 1.0
"""Seconds. A difference of less is the machine's."""


@dataclass(frozen=True)
class Happened:
    """All that happened in one run of an app."""

    client: dict[str, list[str]]
    """What each client got, in order."""
    journal: dict[str, list[str]]
    """What the app noted, in order, for each client."""
    logs: list[str]
    """What was logged at WARNING or above, sorted."""
    left: list[str]
    """Connections and tasks that were left behind."""
    took: float
    """Seconds until the last client was done."""

    @property
    def parts(self) -> dict[str, list[str]]:
        """All that must be the same."""
        return {
            **{f"client {who}".strip(): got for who, got in self.client.items()},
            **{f"journal {who}".strip(): wrote for who, wrote in self.journal.items()},
            "logs": self.logs,
            "left": self.left,
        }


@dataclass(frozen=True)
class Difference:
    """A part that differs."""

    part: str
    bare: Any
    guarded: Any

    def __str__(self) -> str:
        return f"{self.part}\n     bare: {self.bare}\n  guarded: {self.guarded}"


def differences(bare: Happened, guarded: Happened, hiccup: float = HICCUP) -> dict[str, Difference]:
    """Return the differences, by part. The time differs only if by more than `hiccup` seconds."""
    parts = sorted({*bare.parts, *guarded.parts})
    pairs = [Difference(part, bare.parts.get(part, []), guarded.parts.get(part, [])) for part in parts]
    if is_slower(bare.took, guarded.took, hiccup) or is_slower(guarded.took, bare.took, hiccup):
        pairs.append(Difference("took", round(bare.took, 2), round(guarded.took, 2)))
    return {pair.part: pair for pair in pairs if pair.bare != pair.guarded}


def is_slower(one: float, other: float, hiccup: float) -> bool:
    """Return whether the other one takes five times as long, and more than `hiccup` seconds longer."""
    return other > 5 * one and other - one > hiccup


def denied(status: int, headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """Return the line for a denial."""
    told = sorted(f"{name.lower()}: {value}" for name, value in headers if name.lower() not in UNTOLD)
    return f"{DENIED}{status} {told} {shortened(body)}"


def ended(code: int | None, reason: str | None) -> str:
    """Return the line for the end of an open websocket."""
    return f"{END}{code} {reason!r}"


def shortened(message: str | bytes | None) -> str:
    """Return the line for a message."""
    text = repr(message)
    return text if len(text) <= LONG else f"{text[:LONG]}… ({len(message or '')})"
