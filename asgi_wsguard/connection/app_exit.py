"""The meaning of an app's exception for its websocket: a crash, a disconnect, or an answer."""

from __future__ import annotations

from typing import NamedTuple

import anyio

from .. import integrations
from ..exceptions import ClientDisconnected
from ..report.error import is_a, leaves
from ..rules.lifecycle import Answer, Lifecycle
from ..rules.states import OVER, EndReason, State


class AppExit(NamedTuple):
    """The end of the app, and its consequence.

    Attributes:
        reason: the reason in the table of obligations.
        answer: the answer that the exception asks for, if any.
        handled: the exception is fully handled, and is not re-raised to the server.
        other: the path of another connection, if the exception is the disconnect of that.
    """

    reason: EndReason
    answer: Answer | None = None
    handled: bool = False
    other: str | None = None


def read_exit(exc: BaseException, lifecycle: Lifecycle, server_error: BaseException | None) -> AppExit:
    """Read the exception an app ended with.

    Args:
        exc: what the app raised; a group is read by what it holds.
        lifecycle: the state of the connection.
        server_error: the exception of the server's `send()` when the client had left, if it raised one.
    """
    cancelled = anyio.get_cancelled_exc_class()
    every = leaves(exc)
    causes = [cause for cause in every if not is_a(cause, cancelled)]
    if not causes:
        return AppExit(EndReason.CANCELLED)
    goes_on = len(causes) < len(every)
    state = lifecycle.state
    others = [other for other in map(_disconnect_behind, causes) if other is not None and not other.is_of(lifecycle)]
    if others:
        return AppExit(EndReason.RAISED, other=others[0].path)
    if state in OVER:
        left = all(
            is_a(cause, ClientDisconnected)
            or cause is server_error
            or integrations.is_disconnect(cause, left=state in (State.LEFT, State.GONE))
            for cause in causes
        )
        return AppExit(EndReason.RAISED, handled=left and not goes_on)
    answers = [integrations.answer(cause, accepted=state is State.OPEN) for cause in causes]
    if all(answers):
        return AppExit(EndReason.RAISED, answers[0], handled=not goes_on)
    return AppExit(EndReason.RAISED)


def _disconnect_behind(exc: BaseException) -> ClientDisconnected | None:
    """Return the guard's error that this exception is or was made from, as Starlette's `WebSocketDisconnect` is."""
    candidates: list[object] = [exc]
    if integrations.is_disconnect(exc, left=False):
        # Read past what a class in the app may do instead.
        candidates += (vars(BaseException)[name].__get__(exc) for name in ("__cause__", "__context__"))
    for candidate in candidates:
        if type(candidate) is ClientDisconnected:
            return candidate
    return None
