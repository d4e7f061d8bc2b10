"""The context variables that a wrapper of `receive` sets for the app, which must arrive with their message."""

from __future__ import annotations

from contextvars import Context, ContextVar, copy_context
from typing import Any

Changes = tuple[tuple[ContextVar[Any], Any], ...]

_UNSET = object()


def changes_since(before: Context | None) -> Changes:
    """Return the context variables that were set in this task since this copy of its context; none for `None`."""
    if before is None:
        return ()
    return tuple(item for item in copy_context().items() if before.get(item[0], _UNSET) is not item[1])


def apply(changes: Changes) -> None:
    """Set the context variables in this task."""
    for variable, value in changes:
        variable.set(value)
