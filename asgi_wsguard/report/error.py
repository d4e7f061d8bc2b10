"""A short text for an exception that stays the same from one connection to the next, for alerts and metrics."""

from __future__ import annotations

import builtins
import re
from importlib import import_module
from typing import Any

from ..exceptions import ProtocolViolation
from .printable import printable, readable, shortened

# Before Python 3.11, anyio depends on the backport.
_Group: Any = getattr(builtins, "BaseExceptionGroup", None) or import_module("exceptiongroup").BaseExceptionGroup

LONGEST = 80
# The text may contain a client's message of megabytes. Only this much of it is split into words.
LOOKED_AT = 10 * LONGEST
# The parts that differ from one connection to the next: quoted text, and every word with a digit.
_QUOTED = re.compile(r"""'[^']*'|"[^"]*"|`[^`]*`""")
_DIGIT = re.compile(r"\d")


def type_of(exc: BaseException) -> str:
    """Return the qualified name of the exception's type: ``"KeyError"``, ``"redis.exceptions.TimeoutError"``."""
    kind = type(_innermost(exc))
    return readable(
        lambda: kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    )


def name_of(exc: BaseException) -> str:
    """Return the plain name of the exception's type."""
    return readable(lambda: type(exc).__name__)


def text_of(exc: BaseException) -> str:
    """Return the name of the exception's type, and the first line of its text without names and numbers."""
    exc = _innermost(exc)
    name = name_of(exc)
    if is_a(exc, ProtocolViolation):
        name, text = f"{name} [{readable(lambda: exc.clause)}]", readable(lambda: exc.what)  # type: ignore[attr-defined]
    else:
        text = readable(lambda: str(exc))
    line = text.strip().partition("\n")[0]
    words = _QUOTED.sub("'…'", line)[:LOOKED_AT].split()
    stable = " ".join("#" if _DIGIT.search(word) else word for word in words)
    return shortened(printable(f"{name}: {stable}" if stable else name), LONGEST)


def is_a(exc: BaseException, kind: Any) -> bool:
    """Return whether the exception is of one of these types. `isinstance` may call its class, which may raise."""
    return issubclass(type(exc), kind)


def leaves(exc: BaseException) -> list[BaseException]:
    """Return the exceptions in a group and in its inner groups; for any other exception, itself."""
    found, groups = [], [exc]
    while groups:
        inner = groups.pop()
        held = _held(inner)
        if held:
            groups += reversed(held)
        else:
            found.append(inner)
    return found


def _innermost(exc: BaseException) -> BaseException:
    """Return the first exception of a group."""
    return leaves(exc)[0]


def _held(exc: BaseException) -> tuple[BaseException, ...]:
    """Return the exceptions of a group, ignoring an attribute `exceptions` of a class in the app."""
    if not is_a(exc, _Group):
        return ()
    try:
        held: tuple[BaseException, ...] = _Group.exceptions.__get__(exc)
    except KeyboardInterrupt:
        raise
    except BaseException:  # the backport reads an attribute, which a class in the app may override
        return ()
    return held
