"""Drain on a signal, and then let the server's own handler run."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from . import Drainer


def checked(on_signal: Iterable[signal.Signals]) -> tuple[signal.Signals, ...]:
    """Return the signals, or raise for what is none."""
    return tuple(signal.Signals(number) for number in on_signal)


def watch(drainer: Drainer, on_signal: tuple[signal.Signals, ...]) -> None:
    """Begin to watch for the signals; the event loop that serves the app runs in this thread."""
