"""An app that is visited, in memory or on a real server."""

from __future__ import annotations

from typing import Any

from asgi_wsguard.check.visits import ANSWERED, AT_REST
from asgi_wsguard.middleware import aside
from asgi_wsguard.report import Violation
from asgi_wsguard.testing.served import ServedApp


class Bare:
    """The app without the guards in its stack, which stand aside: it shows what it does by itself.

    Attributes:
        app: the app.
        guarded: whether there was a guard.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.guarded = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the app."""
        with aside(scope) as outer:
            try:
                await self.app(scope, receive, send)
            finally:
                self.guarded = self.guarded or outer.inner


class VisitedApp(ServedApp):
    """The app's side of one visit."""

    _late = False

    async def reach(self, note: str) -> bool:
        """Wait until the app was called, has answered, or rests; tell whether the client may go on."""
        kind, _, said = note.partition("/")
        if kind == ANSWERED:
            late = await self.answer()
            self._late = late is not None
            self.violations += filter(None, [late])
        elif kind == AT_REST:
            await self.rest(int(said))
        return not self._late

    def _judge_return(self) -> None:
        if not self._server.violations:  # what comes of an illegal message is no fault of its own
            super()._judge_return()

    async def judge(self) -> list[Violation]:
        """Await the app's end, as the client is gone, and return all that it has done wrong."""
        if not self._late:
            await self.end()
        await self.clean_up()
        return [*self.violations, *filter(None, [self.crash])]
