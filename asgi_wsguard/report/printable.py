"""Foreign text, made safe for a log line."""

from __future__ import annotations

from typing import Callable

UNREADABLE = "<unreadable>"
"""Replaces the text of an object that raises when it is converted to text."""


def shortened(text: str, longest: int) -> str:
    """Cut the text to this many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def readable(read: Callable[[], str]) -> str:
    """Return the text of a foreign object. Whatever that raises must not break the end of a connection."""
    try:
        return f"{read()}"
    except KeyboardInterrupt:
        raise  # the user may want to stop the program
    except BaseException:
        return UNREADABLE


def printable(text: str) -> str:
    """Escape unprintable characters: line ends, terminal escapes, marks that change the direction of text."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
