"""The findings of `check`."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Callable

from asgi_wsguard.report import Violation

LONGEST = 300
"""The longest text of a finding, in characters. A message of the app may be long, and its end says what is wrong."""


@dataclass(frozen=True)
class Finding:
    """One fault of the app.

    Attributes:
        place: the path, and the server if it is a real one; or `lifespan`.
        clause: the id of the contract's clause, or empty.
        what: what the app did.
        where: file and line, or empty.
    """

    place: str
    clause: str
    what: str
    where: str


class Findings:
    """Reports each finding, once, as soon as it is found.

    Attributes:
        count: the number of findings.
        visits: the number of visits.
        denied: the status of each denied handshake, by place.
        guarded: whether there is a guard in the app's stack.
        without_lifespan: how the app failed on the lifespan scope, if it does not support lifespan.
    """

    def __init__(self, tell: Callable[[Finding], None]) -> None:
        self.visits = 0
        self.denied: dict[str, int] = {}
        self.guarded = False
        self.without_lifespan = ""
        self._tell = tell
        self._known: set[tuple[str, str, str, str]] = set()

    @property
    def count(self) -> int:
        """The number of findings."""
        return len(self._known)

    def add(self, place: str, violation: Violation, client_got: str = "") -> None:
        """Report a violation, and what the client got, unless it was already reported for this place."""
        what, where = _readable(violation.what), relative(violation.where)
        known = (place, violation.clause, what, where)
        if known in self._known:
            return
        self._known.add(known)
        what += f"; the client got {_readable(client_got)}" if client_got else ""
        self._tell(Finding(place, violation.clause, what, where))


def relative(text: str) -> str:
    """Return the text, with file names relative to the working directory."""
    return text.replace(os.path.join(os.getcwd(), ""), "")


def _readable(text: str) -> str:
    text = re.sub(r"\bTask-\d+ \((\S+)\)", r"\1", relative(text))
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]}…{text[-LONGEST // 2 :]}"
