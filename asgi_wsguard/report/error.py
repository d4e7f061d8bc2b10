"""A short text for an exception, the same from one connection to the next: for alerts, and labels of metrics."""

from __future__ import annotations

import re

from ..exceptions import ProtocolViolation
from .printable import printable, shortened

LONGEST = 80
# A client's message may be in it, of megabytes: no more than this is looked at, word by word.
LOOKED_AT = 10 * LONGEST
# What differs from one connection to the next: what is quoted, and every word with a digit in it.
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")
_DIGIT = re.compile(r"\d")


def type_of(exc: BaseException) -> str:
    """Return the qualified name of the exception's type: ``"KeyError"``, ``"redis.exceptions.TimeoutError"``."""
    kind = type(_innermost(exc))
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def text_of(exc: BaseException) -> str:
    """Return the name of the exception's type, and the first line of its text without names and numbers."""
    exc = _innermost(exc)
    name = type(exc).__name__
    if isinstance(exc, ProtocolViolation):
        name, text = f"{name} [{exc.clause}]", exc.what
    else:
        try:
            text = str(exc)
        except Exception:
            text = ""
    line = text.strip().partition("\n")[0]
    words = _QUOTED.sub("'…'", line)[:LOOKED_AT].split()
    stable = " ".join("#" if _DIGIT.search(word) else word for word in words)
    return shortened(printable(f"{name}: {stable}" if stable else name), LONGEST)


def _innermost(exc: BaseException) -> BaseException:
    """Return the first exception of a group."""
    while getattr(exc, "exceptions", None):
        exc = exc.exceptions[0]  # type: ignore[attr-defined]
    return exc
