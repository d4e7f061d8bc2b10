"""Decides whether a difference is an improvement."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from asgi_wsguard.compare.clients import CUT, DEAD, ILLEGAL, NOTHING, Client
from asgi_wsguard.compare.happened import Difference, Happened, differences

GUARDS_OWN = re.compile(r"[A-Z]+ asgi_wsguard: \[wsguard-(\w+)\]")
LOST = (DEAD, NOTHING, CUT, ILLEGAL, "end 1005 ", "end 1006 ", "exit status ")
"""A client was left without an answer, or without a close."""
CRASHED = ("denied 5", "end 1011 ")
"""The answers of servers to an app that crashed or returned, each in its own way."""


@dataclass(frozen=True)
class Finding:
    """A difference.

    Attributes:
        client: the client.
        difference: what differs.
        clauses: the clauses of the contract that the guard applied.
        better: whether it is an improvement.
    """

    client: Client
    difference: Difference
    clauses: tuple[str, ...]
    better: bool

    @property
    def part(self) -> tuple[Client, str]:
        """The client, and the part that differs."""
        return self.client, self.difference.part

    def with_texts(self, texts: Mapping[str, str]) -> Finding:
        """Return it with the full log lines, given by the parts that are compared."""
        bare, guarded = self.difference.bare, self.difference.guarded
        if self.difference.part != "logs":
            return self
        shown = Difference("logs", [texts[line] for line in bare], [texts[line] for line in guarded])
        return replace(self, difference=shown)


def findings(client: Client, bare: Sequence[Happened], guarded: Happened, reports: Sequence[str]) -> list[Finding]:
    """Return what the guard changes.

    Args:
        client: the client.
        bare: what happened without the guard, each time that it ran. What differs between these is ignored.
        guarded: what happened with it.
        reports: the clauses of each report of the guard.
    """
    first, *more = bare
    varies = {part for other in more for part in differences(first, other)}
    found = differences(first, guarded)
    clauses = tuple(dict.fromkeys(clause for report in reports for clause in report.split()))
    return [_finding(client, difference, clauses) for part, difference in found.items() if part not in varies]


def _finding(client: Client, difference: Difference, clauses: tuple[str, ...]) -> Finding:
    bare, guarded = difference.bare, difference.guarded
    if difference.part == "took":
        better = bool(guarded < bare)
    elif difference.part == "left":
        better = not Counter(guarded) - Counter(bare)
    elif difference.part == "logs":
        own = [GUARDS_OWN.match(line) for line in Counter(guarded) - Counter(bare)]
        better = None not in own
        clauses = tuple(dict.fromkeys(line[1] for line in own if line)) or clauses
    else:
        better = _is_better_answer(bare, guarded)
    return Finding(client, difference, clauses, better and bool(clauses))


def _is_better_answer(bare: Sequence[str], guarded: Sequence[str]) -> bool:
    """Return whether a client that got no answer, or saw a crash, got the same messages and then a better end."""
    *before, end = bare or [CUT]
    same = len(guarded) > len(before) and list(guarded[: len(before)]) == before
    return same and end.startswith((*LOST, *CRASHED)) and not any(line.startswith(LOST) for line in guarded)
