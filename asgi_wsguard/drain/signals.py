"""`Drainer(on_signal=...)`: a signal that stops the server waits until the websockets are drained."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Awaitable, Iterable
from logging import WARNING
from types import FrameType
from typing import Any, Callable

from ..integrations.hypercorn import ParentsEvent, is_deaf
from ..report.log import safe_log
from ..runtime import starter
from .drainable import Drainable
from .wakeup import Wakeup

UNCATCHABLE = frozenset({"SIGKILL", "SIGSTOP"})
TEST_CLIENT = "testclient:"
"""The start of the client in the scopes of test clients that run an app in a thread: Starlette's and Litestar's."""
WILL_NOT_DRAIN = "[wsguard-D5] %s will not drain the websockets: %s. Call drain() yourself."


class OnSignal:
    """Replaces the server's signal handlers, drains when a signal arrives, and then raises it for the server.

    Args:
        on_signal: the signals.
        drain: is awaited before a signal reaches the server.
    """

    def __init__(self, on_signal: Iterable[signal.Signals], drain: Callable[[], Awaitable[object]]) -> None:
        self._numbers = _checked(on_signal)
        self._drain = drain
        self._replaced: dict[int, Any] = {}  # the previous handlers
        self._caught: list[int] = []  # the signals that have not reached the server
        self._wakeup = Wakeup(self._numbers)
        self._event = ParentsEvent(self._on_event)
        self._begun = self._by_event = False
        self._process = 0
        self._warned = False

    def watch(self, connection: Drainable) -> None:
        """Get ready for a signal.

        This is called at each websocket: some servers set their handlers late, or repeatedly, and some have no
        lifespan.

        Args:
            connection: the websocket.
        """
        if not self._numbers:
            return
        if threading.current_thread() is not threading.main_thread():
            # A test client is not a server, so no signal is lost.
            if not connection.client.startswith(TEST_CLIENT):
                self._warn("the server does not run in the main thread, which alone gets signals")
            return
        self._start = starter()
        self._process = os.getpid()
        self._wakeup.take()
        self._event.take()
        for number in self._numbers:
            self._replace(number)

    def _replace(self, number: int) -> None:
        handler = signal.getsignal(number)
        if handler is None:
            self._warn("its handler is not a Python function, and could not be restored")
        elif handler != self._on_signal:
            self._replaced[number] = handler
            signal.signal(number, self._on_signal)
            if is_deaf(handler is not signal.SIG_DFL):
                self._warn("the server handles it in the parent process only")

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._caught.append(number)
        # A second signal does not wait. Neither does one in a fork of this process, which serves nobody. But if the
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
            text = "[wsguard-D5] The drain failed. The server stops now, with websockets still open."
            safe_log(WARNING, text, exc_info=True)
        finally:
            if self._by_event:
                # The signals wait until the lifespan has ended. Raised now, they would kill the worker at once.
                self._event.put_back()
                self._begun = self._by_event = False
            else:
                self.restore()

    def restore(self) -> None:
        """Restore the previous handlers, and raise the signals that have not reached the server."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._event.put_back()
        self._wakeup.put_back()
        replaced, self._replaced = self._replaced, {}
        caught, self._caught = self._caught, []
        self._begun = self._by_event = False
        for number, handler in replaced.items():
            # A handler that was set after ours stays, unless the signal must reach the server.
            if number in caught or signal.getsignal(number) == self._on_signal:
                signal.signal(number, handler)
        for number in caught:
            # Not by calling the handler: an event loop's is a dummy, since the loop reads the wakeup file descriptor.
            signal.raise_signal(number)

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            names = " and ".join(number.name for number in self._numbers)
            safe_log(WARNING, WILL_NOT_DRAIN, names, why)


def _checked(on_signal: Iterable[signal.Signals]) -> tuple[signal.Signals, ...]:
    try:
        numbers = tuple(signal.Signals(number) for number in on_signal)
    except (TypeError, ValueError) as error:
        raise type(error)(f"on_signal must be signals, such as [signal.SIGTERM], not {on_signal!r}") from None
    if not UNCATCHABLE.isdisjoint(number.name for number in numbers):
        raise ValueError(f"on_signal must be signals that a process can catch, not {on_signal!r}")
    return numbers
