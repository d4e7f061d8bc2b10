"""What was found, and where."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Callable

from asgi_wsguard.report import Violation

LONGEST = 300
"""Characters of a text. What an app sends may be long, and the end says what is wrong with it."""


@dataclass(frozen=True)
class Finding:
    """One thing that the app does wrong.

    Attributes:
        place: the path, and the server if it is a real one; or the lifespan.
        clause: the id of the contract's clause, or empty.
        what: what the app did.
        where: file and line, or empty.
    """

    place: str
    clause: str
    what: str
    where: str


class Findings:
    """Tells each finding, once, as soon as it is there.

    Attributes:
        count: how many there are.
        visits: how many visits there were.
        denied: the status that the handshake was denied with, where it was.
        guarded: whether there is a guard in the app's stack.
    """

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self.visits = 0
        self.denied: int | None = None
        self.guarded = False
        self._tell = tell
        self._known: set[tuple[str, str, str, str]] = set()

    @property
    def count(self) -> int:
        """How many findings there are."""
        return len(self._known)

    def add(self, place: str, violation: Violation, client_got: str = "") -> None:
        """Tell a violation, unless it is known at this place, and what the client got of it, where it was there."""
        what, where = _readable(violation.what), relative(violation.where)
        known = (place, violation.clause, what, where)
        if known in self._known:
            return
        self._known.add(known)
        what += f"; the client got {_readable(client_got)}" if client_got else ""
        self._tell(Finding(place, violation.clause, what, where))


def relative(text: str) -> str:
    """Return the text with the files of the working directory as they are called there."""
    return text.replace(os.path.join(os.getcwd(), ""), "")


def _readable(text: str) -> str:
    text = re.sub(r"\bTask-\d+ \((\S+)\)", r"\1", relative(text))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
