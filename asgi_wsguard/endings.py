"""What an exception that comes out of an app means for its websocket."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple

import anyio

from . import integrations
from .exceptions import ClientDisconnected
from .lifecycle import Verdict
from .states import OVER, Ending, State

# The backport is a dependency of anyio's before Python 3.11.
_Group: Any = getattr(builtins, "BaseExceptionGroup", None) or import_module("exceptiongroup").BaseExceptionGroup


class Meaning(NamedTuple):
    """How the app ended, and what follows.

    Attributes:
        ending: the column of the table of debts.
        verdict: the answer that the exception asks for, where it asks for one.
        handled: the exception has said what it had to say, and does not go on to the server.
    """

    ending: Ending
    verdict: Verdict | None = None
    handled: bool = False


def meaning(exc: BaseException, state: State, server_error: OSError | None) -> Meaning:
    """Read the exception an app ended with.

    Args:
        exc: what the app raised; a group is read by what it holds.
        state: where the connection was.
        server_error: what the server's `send()` raised when the client had left, if it did.
    """
    cancelled = anyio.get_cancelled_exc_class()
    causes = [cause for cause in _leaves(exc) if not isinstance(cause, cancelled)]
    if not causes:
        return Meaning(Ending.CANCELLED)
    goes_on = any(isinstance(cause, cancelled) for cause in _leaves(exc))
    if state in OVER:
        left = all(
            isinstance(cause, ClientDisconnected) or cause is server_error or integrations.is_disconnect(cause)
            for cause in causes
        )
        return Meaning(Ending.RAISED, handled=left and not goes_on)
    verdicts = [integrations.verdict(cause, accepted=state is State.OPEN) for cause in causes]
    if all(verdicts):
        return Meaning(Ending.RAISED, verdicts[0], handled=not goes_on)
    return Meaning(Ending.RAISED)


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, _Group):
        for inner in exc.exceptions:
            yield from _leaves(inner)
    else:
        yield exc
