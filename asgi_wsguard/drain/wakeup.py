"""The wakeup file descriptor, by which an event loop learns of a signal, replaced to delay the signal.

A callback that a server passes to ``loop.add_signal_handler()`` is not called by Python's signal handler, which is a
dummy there: the interpreter writes the signal's number to the wakeup file descriptor, and the loop reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Collection

NONE = -1


class Wakeup:
    """Replaces the loop's wakeup file descriptor, and forwards all signals except those that have to wait."""

    def __init__(self, waiting: Collection[int]) -> None:
        self._waiting = frozenset(waiting)
        self._pair: tuple[socket.socket, socket.socket] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._replaced = NONE
        self._process = 0  # the one that made the pair

    def take(self) -> None:
        """Replace the file descriptor, if there is one and it is not replaced yet."""
        loop = _loop_that_reads_it()
        if loop is None:
            return
        self._leave_to_parent()
        if self._pair is None:
            self._pair, self._process = socket.socketpair(), os.getpid()
            for end in self._pair:
                end.setblocking(False)
        reader, writer = self._pair
        found = _exchange(writer.fileno())
        if found == NONE:
            _exchange(NONE)
        elif found != writer.fileno():
            self._replaced, self._loop = found, loop
            loop.add_reader(reader, self._hand_on, reader)

    def put_back(self) -> None:
        """Restore the file descriptor, unless it was replaced by another one. A signal handler may call this."""
        self._leave_to_parent()
        if self._pair is None:
            return
        reader, writer = self._pair
        self._pair = None
        try:
            found = _exchange(self._replaced)
        except OSError:  # it was closed meanwhile
            found = _exchange(NONE)
        if found != writer.fileno():
            _exchange(found)
        loop, self._loop = self._loop, None
        if loop is None or loop.is_closed():
            _close(reader, writer)
        else:
            loop.call_soon_threadsafe(self._end, loop, reader, writer)

    def _leave_to_parent(self) -> None:
        """Let go of the file descriptors in a fork: what is written to them is read by the event loop of the parent."""
        if self._pair is not None and self._process != os.getpid():
            reader, writer = self._pair
            self._pair = self._loop = None
            found = _exchange(NONE)
            _exchange(NONE if found == writer.fileno() else found)
            _close(reader, writer)

    def _end(self, loop: asyncio.AbstractEventLoop, reader: socket.socket, writer: socket.socket) -> None:
        self._hand_on(reader)
        loop.remove_reader(reader)
        _close(reader, writer)

    def _hand_on(self, reader: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            numbers = bytes(number for number in reader.recv(4096) if number not in self._waiting)
            os.write(self._replaced, numbers)


def _loop_that_reads_it() -> asyncio.AbstractEventLoop | None:
    # trio's only wakes trio. On Windows no event loop has add_signal_handler().
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    return loop if os.name == "posix" else None


def _exchange(fileno: int) -> int:
    return signal.set_wakeup_fd(fileno, warn_on_full_buffer=False)


def _close(reader: socket.socket, writer: socket.socket) -> None:
    reader.close()
    writer.close()
