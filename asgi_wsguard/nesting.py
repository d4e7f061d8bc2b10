"""Two guards around one app behave as one (E8): the outermost one does the work, and the others do nothing."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Scope = MutableMapping[str, Any]


class Guarding:
    """The guard at work on a scope. While it is, any other guard in the same context does nothing.

    Attributes:
        inner: whether there was another guard.
    """

    __slots__ = ("_outer", "_scope", "inner")

    def __init__(self, scope: Scope) -> None:
        self.inner = False
        self._scope: Scope | None = scope
        self._outer = _current.get()
        _current.set(self)

    def end(self) -> None:
        """Let other guards do the work again."""
        # A task that the app has started keeps this object alive, but not the scope.
        outer, self._outer, self._scope = self._outer, None, None
        # Not reset(): a coroutine that is discarded may be closed in another context.
        _current.set(outer)

    def is_around(self, scope: Scope) -> bool:
        """Return whether this scope is guarded. Middleware between two guards may have copied it."""
        mine = self._scope
        if mine is None:
            return False
        return scope is mine or ("headers" in scope and scope["headers"] is mine.get("headers"))


# Not a key in the scope, because the app can see that.
_current: ContextVar[Guarding | None] = ContextVar("asgi_wsguard", default=None)


def is_guarded(scope: Scope) -> bool:
    """Return whether a guard around this one does the work for the scope."""
    outer = _current.get()
    if outer is None or not outer.is_around(scope):
        return False
    outer.inner = True
    return True


@contextmanager
def bypass_guards(scope: Scope) -> Iterator[Guarding]:
    """Make every guard in the app's stack do nothing for this scope, as if the caller were a guard around it."""
    guarding = Guarding(scope)
    try:
        yield guarding
    finally:
        guarding.end()
