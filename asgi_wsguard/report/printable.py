"""Text from elsewhere, as it may stand in a log line."""

from __future__ import annotations


def shortened(text: str, longest: int) -> str:
    """Cut it to that many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def printable(text: str) -> str:
    """Escape what is no printable character: line ends, terminal escapes, marks that turn the direction of text."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
