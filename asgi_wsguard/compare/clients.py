"""The clients of a comparison: the visits of `check`, or the user's own client."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, Protocol
from urllib.parse import quote

from asgi_wsguard.check.visits import PLAIN, Question, Visit, visits
from asgi_wsguard.compare.happened import END, denied, ended, shortened
from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.client import visit as visited
from asgi_wsguard.probe.model import Say, Vanish
from asgi_wsguard.probe.servers import Running
from asgi_wsguard.testing.session import URL

NOTHING = "nothing more"
CUT = "cut"
DEAD = "the server does not answer"
ILLEGAL = "an illegal answer"

Watch = Callable[[str], object]


class Client(Protocol):
    """A client that visits the app."""

    @property
    def place(self) -> str:
        """Return the path, or the file."""

    @property
    def does(self) -> str:
        """Return what it does; empty if that is unknown."""

    def visit(self, server: Running, timeout: float, watch: Watch) -> list[str]:
        """Visit the app, and return what it got, in order.

        Args:
            server: where the app is.
            timeout: the longest wait for anything, in seconds.
            watch: waits for a note of `check.visits`, and returns whether it was reached.
        """


@dataclass(frozen=True)
class Visitor:
    """A client that visits as those of `check` do."""

    question: Question
    how: Visit

    @property
    def place(self) -> str:
        """Return the path."""
        return self.question.place

    @property
    def does(self) -> str:
        """Return what it does."""
        if any(isinstance(step, Vanish) for step in self.how.early):
            return "a client that is gone before the answer"
        says = any(isinstance(step, Say) for step in self.how.steps)
        vanishes = any(isinstance(step, Vanish) for step in self.how.steps)
        return f"a client that {'sends, and ' * says}{'vanishes' if vanishes else 'closes'}"

    def visit(self, server: Running, timeout: float, watch: Watch) -> list[str]:
        """Visit the app."""

        def patient(note: str) -> None:
            if not watch(note):
                raise socket.timeout

        seen = visited(
            server.port,
            quote(self.question.path, safe=URL),
            subprotocols=self.question.subprotocols,
            headers=self.question.sent,
            early=self.how.early,
            steps=self.how.steps,
            http=server.server.http,
            patience=timeout,
            watch=patient,
        )
        return told(seen)


def told(seen: Observation) -> list[str]:
    """Return what a client got, in order."""
    got = [f"subprotocol {seen.subprotocol}"] if seen.subprotocol else []
    got += [shortened(message) for message in seen.messages]
    if seen.fault:
        return [*got, f"{ILLEGAL}: {seen.fault}"]
    if seen.hung:
        return [*got, NOTHING]
    if seen.left:
        return [*got, "(it left)"]
    if seen.opened:
        return [*got, ended(seen.code, seen.reason)]
    if seen.status is None or seen.cut:
        return [*got, CUT]
    return [*got, denied(seen.status, seen.headers, seen.body)]


@dataclass(frozen=True)
class Script:
    """A program in Python that is given the server's address, such as ``ws://127.0.0.1:8000``.

    What it prints is what it got.
    """

    file: Path

    @property
    def does(self) -> str:
        """Return nothing, because it is unknown."""
        return ""

    @property
    def place(self) -> str:
        """Return the file."""
        return os.fspath(self.file)

    def visit(self, server: Running, timeout: float, watch: Watch) -> list[str]:
        """Run it until it ends."""
        address = f"127.0.0.1:{server.port}"
        command = [sys.executable, os.fspath(self.file), f"ws://{address}"]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, text=True, errors="replace"
            )
        except subprocess.TimeoutExpired as late:
            # This is bytes in spite of `text=True` (https://github.com/python/cpython/issues/87597).
            printed = late.stdout.decode(errors="replace") if isinstance(late.stdout, bytes) else late.stdout or ""
            got = [*printed.splitlines(), NOTHING]
        else:
            got = done.stdout.splitlines()
            if done.returncode:
                got += [*done.stderr.splitlines()[-1:], f"exit status {done.returncode}"]
        return [line.replace(address, "127.0.0.1:…") for line in got]  # the two sides have different ports


def plain(question: Question) -> Client:
    """Return the first client of a question."""
    return Visitor(question, PLAIN)


def others(question: Question, got: Sequence[str]) -> list[Client]:
    """Return the clients that follow, depending on what the first one got."""
    opens = bool(got) and got[-1].startswith(END)
    # A client that does not read exists in memory only.
    return [Visitor(question, how) for how in visits(question.messages, opens=opens) if how.reads]
