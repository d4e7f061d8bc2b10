"""Text from elsewhere, as it may stand in a log line."""

from __future__ import annotations


def printable(text: str) -> str:
    """Escape what is no printable character: line ends, terminal escapes, marks that turn the direction of text."""
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
