"""A quirk of daphne: the error of its `send()` when the client has just left."""

from __future__ import annotations


def client_has_left(exc: BaseException) -> bool:
    """Return whether this is it.

    Daphne (4.2.3) discards what is sent once it knows that the client has left. Autobahn (26.10.2), on which it builds,
    knows first, and raises in between.
    """
    from autobahn.exception import Disconnected

    return isinstance(exc, Disconnected)
