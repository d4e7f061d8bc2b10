"""Workers that get no signal: those of hypercorn and anycorn, which ask ten times a second whether they are to stop.

They ask an event that their parent sets, and that nothing public leads to. Where it is not found any more, the log says
so, and the docs what to do instead.
"""

from __future__ import annotations

import multiprocessing
from typing import Any, Callable

SERVERS = ("hypercorn.", "anycorn.")


class ParentsEvent:
    """Takes the place of the event's `is_set`, so that the worker does not hear of it yet.

    Args:
        told: is called each time the worker asks, once the event is set.
    """

    def __init__(self, told: Callable[[], None]) -> None:
        self._told = told
        self._event: Any = None

    def take(self) -> None:
        """Take its place, if there is one, and it is not taken."""
        if self._event is None:
            self._event = _find()
            if self._event is not None:
                self._event.is_set = self._answer(self._event.is_set)

    def put_back(self) -> None:
        """Let the worker hear of it."""
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
    """Tell whether this is a worker that will hear nothing of a signal to its parent."""
    return multiprocessing.parent_process() is not None and not server_listens and _find() is None


def _find() -> Any:
    process = multiprocessing.current_process()
    target = getattr(process, "_target", None)
    if getattr(target, "__module__", "").startswith(SERVERS):
        return getattr(process, "_kwargs", {}).get("shutdown_event")
    return None
