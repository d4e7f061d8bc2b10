"""Names that a user typed, looked up among those that exist."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import click


def one_of(kind: str, name: str, known: Iterable[str]) -> str:
    """Return the name as it is known: upper and lower case are the same.

    Raises:
        click.UsageError: there is no such thing; the message has what is near, or else all that there is.
    """
    exact = {one.lower(): one for one in known}
    if name.lower() not in exact:
        near = [exact[one] for one in get_close_matches(name.lower(), exact)]
        hint = f"did you mean {' or '.join(near)}?" if near else f"there is {', '.join(exact.values())}"
        raise click.UsageError(f"no {kind} {name!r}; {hint}")
    return exact[name.lower()]
