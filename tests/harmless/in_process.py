"""Apps that a test client calls in its own process, as test suites do: first bare, then guarded."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any

from asgi_wsguard.compare.journal import PLAY, write
from asgi_wsguard.compare.served import serve
from asgi_wsguard.testing.failures import in_a_line
from harmless.apps import apps
from harmless.model import App
from harmless.served import served, set_who

# Threads that trio and anyio keep for the next call.
KEPT = ("Trio thread", "AnyIO worker thread")


class Suite:
    """The test suite of one app on one side."""

    def __init__(self, play: str, app: Any) -> None:
        self.play = play
        self._app = app

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the app."""
        if scope["type"] != "lifespan":
            set_who(scope)
        await serve(self.play, self._app, scope, receive, send)

    def note(self, text: object, who: str = "") -> None:
        """Write down what a test saw."""
        write("client", self.play, who, str(text))

    @contextmanager
    def raises(self, who: str = "") -> Iterator[None]:
        """Write down the exception that a test expects."""
        try:
            yield
        except BaseException as exc:
            self.note(f"raised {in_a_line(exc)}", who)
        else:
            self.note("raised nothing", who)


def run(play: str, app: App) -> None:
    """Run the tests of an app, and write down how long they took, and which threads are left."""
    PLAY.set(play)
    suite = Suite(play, served[play])
    began = time.monotonic()
    with suite.raises("in the end"):
        app.client(suite)  # type: ignore[arg-type]
    write("took", play, "", str(time.monotonic() - began))
    for thread in threading.enumerate():
        if thread is not threading.main_thread() and not thread.name.startswith(KEPT):
            write("left", play, "", thread.name)


if __name__ == "__main__":
    named = {app.name: app for app in apps(tuple(os.environ["HARMLESS_MODULES"].split()))}
    for play in served:
        name = play.partition("/")[2]
        if name in named:  # the one to warm up a server is none
            copy_context().run(run, play, named[name])
