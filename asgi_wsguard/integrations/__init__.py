"""Knowledge of other libraries. Each module here is imported only if its library already is."""

from __future__ import annotations

import sys

from ..rules.lifecycle import Answer


def answer(exc: BaseException, *, accepted: bool) -> Answer | None:
    """Return the answer that an exception asks for; `None` for a crash, or if the exception cannot be read."""
    if "starlette.exceptions" not in sys.modules:
        return None
    # Reading an exception may raise anything, and the client must get an answer regardless.
    try:
        from . import starlette

        return starlette.answer(exc, accepted=accepted)
    except BaseException:
        return None


def is_disconnect(exc: BaseException, *, left: bool) -> bool:
    """Return whether an exception only says that the client has left.

    Args:
        exc: the exception that escaped from an app.
        left: the client has left.
    """
    if "starlette.websockets" not in sys.modules:
        return False
    try:
        from . import starlette

        return starlette.is_disconnect(exc, left=left)
    except BaseException:
        return False


def client_has_left(exc: BaseException) -> bool:
    """Return whether an exception of the server's `send()` only says that the client has left."""
    if isinstance(exc, OSError):  # as the ASGI specification asks for since 2.4
        return True
    if "autobahn.exception" not in sys.modules:
        return False
    from . import daphne

    return daphne.client_has_left(exc)


def route(app: object, path: str) -> str:
    """Return the template of the path for an app whose framework does not put it into the scope."""
    found = ""
    if "channels.routing" in sys.modules:
        from . import channels

        found = channels.route(app, path)
    if not found and "blacksheep" in sys.modules:
        from . import blacksheep

        found = blacksheep.route(app, path)
    return found
