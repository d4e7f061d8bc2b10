"""The lookup of names that the user typed."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

import click

from asgi_wsguard.contract import CLAUSES


def one_of(kind: str, name: str, known: Collection[str], there_is: str = "") -> str:
    """Return the known name, ignoring upper and lower case.

    Args:
        kind: what the name is for, for the message.
        name: what the user typed.
        known: all names.
        there_is: what the message lists instead, if there are too many names to list.

    Raises:
        click.UsageError: there is no such name. The message has similar names, and all names.
    """
    exact = {one.lower(): one for one in known}
    if name.lower() not in exact:
        near = " or ".join(exact[one] for one in get_close_matches(name.lower(), exact))
        did_you_mean = f": did you mean {near}?" if near else "."
        raise click.UsageError(f"no {kind} {name!r}{did_you_mean} There is {there_is or ', '.join(known)}.")
    return exact[name.lower()]


def every_clause() -> str:
    """Return a short list of all clauses, for a message."""
    numbers: dict[str, list[int]] = {}
    for clause in CLAUSES:
        numbers.setdefault(clause[0], []).append(int(clause[1:]))
    return ", ".join(f"{letter}{min(own)} to {letter}{max(own)}" for letter, own in numbers.items())
