"""Two guards around one app behave as one (E8): the outermost one does the work, and the others do nothing."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

Scope = MutableMapping[str, Any]


class Bypass:
    """Something that is not a guard, and lets no guard do its work.

    Attributes:
        inner: whether there was a guard in the app's stack.
    """

    def __init__(self) -> None:
        self.inner = False


class Guarding:
    """The guard at work on a scope. While it is, any other guard in the same context does nothing."""

    __slots__ = ("_outer", "_scope")

    def __init__(self, scope: Scope) -> None:
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
_bypass: ContextVar[Bypass | None] = ContextVar("asgi_wsguard_bypass", default=None)


def is_guarded(scope: Scope) -> bool:
    """Return whether a guard around this one does the work for the scope."""
    outer = _current.get()
    if outer is None or not outer.is_around(scope):
        return False
    bypass = _bypass.get()
    if bypass is not None:
        bypass.inner = True
    return True


@contextmanager
def bypass_guards(scope: Scope) -> Iterator[Bypass]:
    """Make every guard in the app's stack do nothing for this scope, as if the caller were a guard around it."""
    guarding, bypass = Guarding(scope), Bypass()
    _bypass.set(bypass)
    try:
        yield bypass
    finally:
        guarding.end()
        _bypass.set(None)
