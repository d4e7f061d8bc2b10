"""The workers of hypercorn (0.18.0) and anycorn (0.20.1), which never get the signal.

Ten times a second a worker checks an event that its parent sets when the worker is to stop. That event has no public
API. If it is not found, the log says so, and the docs say what to do instead.
"""

from __future__ import annotations

import multiprocessing
from typing import Any, Callable

SERVERS = ("hypercorn.", "anycorn.")


class ParentsEvent:
    """Replaces the event's `is_set`, so that the worker does not stop yet.

    Args:
        told: is called each time the worker checks the event, once it is set.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._event: Any = None

    def take(self) -> None:
        """Replace it, if there is such an event and it is not replaced yet."""
        if self._event is None:
            self._event = _find()
            if self._event is not None:
                self._event.is_set = self._answer(self._event.is_set)

    def put_back(self) -> None:
        """Let the worker see the event."""
        if self._event is not None:
            del self._event.is_set
            self._event = None

    def _answer(self, is_set: Callable[[], bool]) -> Callable[[], bool]:
        def answer() -> bool:
            if is_set():
                self._told()
            return False

        return answer


def is_deaf(server_listens: bool) -> bool:
    """Return whether this is a worker that a signal to its parent does not reach."""
    return multiprocessing.parent_process() is not None and not server_listens and _find() is None


def _find() -> Any:
    process = multiprocessing.current_process()
    target = getattr(process, "_target", None)
    if getattr(target, "__module__", "").startswith(SERVERS):
        return getattr(process, "_kwargs", {}).get("shutdown_event")
    return None
