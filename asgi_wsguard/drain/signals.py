"""`Drainer(on_signal=...)`: a signal that stops the server waits until the websockets are drained."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Awaitable, Iterable
from types import FrameType
from typing import Any, Callable

from ..runtime import starter
from .wakeup import Wakeup
from .workers import ParentsEvent, is_deaf

logger = logging.getLogger("asgi_wsguard")

UNCATCHABLE = frozenset({"SIGKILL", "SIGSTOP"})


class OnSignal:
    """Takes the place of the server's handlers, drains when a signal comes, and then lets the server have it.

    Args:
        on_signal: the signals.
        drain: what is awaited before the server hears of one.
    """

    def __init__(self, on_signal: Iterable[signal.Signals], drain: Callable[[], Awaitable[object]]) -> None:
        self._numbers = _checked(on_signal)
        self._drain = drain
        self._replaced: dict[int, Any] = {}  # the handlers that were there
        self._caught: list[int] = []  # the signals that the server has not heard of
        self._wakeup = Wakeup(self._numbers)
        self._event = ParentsEvent(self._on_event)
        self._begun = self._by_event = False
        self._process = 0
        self._warned = False

    def watch(self) -> None:
        """Be ready for a signal.

        It is called at each websocket: some servers set their handlers late, or anew, and some have no lifespan.
        """
        if not self._numbers:
            return
        if threading.current_thread() is not threading.main_thread():
            return self._warn("the server runs in another thread than the main one, which alone gets signals")
        self._start = starter()
        self._process = os.getpid()
        self._wakeup.take()
        self._event.take()
        for number in self._numbers:
            self._replace(number)

    def _replace(self, number: int) -> None:
        handler = signal.getsignal(number)
        if handler is None:
            self._warn("what handles it is not Python's, and could not be put back")
        elif handler != self._on_signal:
            self._replaced[number] = handler
            signal.signal(number, self._on_signal)
            if is_deaf(handler is not signal.SIG_DFL):
                self._warn("the server listens to it in the parent of this process only")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._caught.append(number)
        # A second one does not wait, nor does one that a fork of this process got, which serves nobody. But where the
        # parent has set the event, it sends signals to all of its workers as soon as one has ended.
        if self._by_event or (len(self._caught) == 1 and os.getpid() == self._process):
            try:
                return self._begin()
            except RuntimeError:
                pass  # the event loop has ended
        self.restore()

    def _on_event(self) -> None:
        self._by_event = True
        self._begin()

    def _begin(self) -> None:
        if not self._begun:
            self._start(self._drain_first)
            self._begun = True

    async def _drain_first(self) -> None:
        try:
            await self._drain()
        except Exception:
            text = "[wsguard-D5] draining failed; the server stops now, with the websockets that are open"
            logger.warning(text, exc_info=True)
        finally:
            if self._by_event:
                # The signals wait for the lifespan to end: by themselves they would kill the worker at once.
                self._event.put_back()
                self._begun = self._by_event = False
            else:
                self.restore()

    def restore(self) -> None:
        """Put back what was replaced, and let the server have the signals that it has not heard of."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._event.put_back()
        self._wakeup.put_back()
        replaced, self._replaced = self._replaced, {}
        caught, self._caught = self._caught, []
        self._begun = self._by_event = False
        for number, handler in replaced.items():
            # What somebody has put in our place stays there, unless the server must get through.
            if number in caught or signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)
        for number in caught:
            # Not by calling the handler: an event loop's is a dummy, as the loop hears from the interpreter.
            signal.raise_signal(number)

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            names = " and ".join(number.name for number in self._numbers)
            logger.warning("[wsguard-D5] %s will not drain the websockets, as %s; call drain() yourself", names, why)


def _checked(on_signal: Iterable[signal.Signals]) -> tuple[signal.Signals, ...]:
    try:
        numbers = tuple(signal.Signals(number) for number in on_signal)
    except (TypeError, ValueError) as error:
        raise type(error)(f"on_signal must be signals, such as [signal.SIGTERM], not {on_signal!r}") from None
    if not UNCATCHABLE.isdisjoint(number.name for number in numbers):
        raise ValueError(f"on_signal must be signals that a process can catch, not {on_signal!r}")
    return numbers
