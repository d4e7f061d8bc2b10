"""An app that is visited, in memory or on a real server."""

from __future__ import annotations

from typing import Any

from asgi_wsguard.check.visits import ANSWERED, AT_REST
from asgi_wsguard.nesting import bypass_guards
from asgi_wsguard.report import Violation
from asgi_wsguard.testing.served import ServedApp


class Bare:
    """The app, with the guards in its stack bypassed, to show what it does on its own.

    Attributes:
        app: the app.
        guarded: whether there was a guard.
    """

    def __init__(self, app: Any) -> None:
        self.app = app
        self.guarded = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Call the app."""
        with bypass_guards(scope) as bypass:
            try:
                await self.app(scope, receive, send)
            finally:
                self.guarded = self.guarded or bypass.inner


class VisitedApp(ServedApp):
    """The app's side of one visit."""

    _late = False

    async def reach(self, note: str) -> bool:
        """Wait until the app was called, has answered, or is at rest; return whether the client may continue."""
        kind, _, said = note.partition("/")
        if kind == ANSWERED:
            late = await self.answer()
            self._late = late is not None
            self.violations += filter(None, [late])
        elif kind == AT_REST:
            await self.rest(int(said))
        return not self._late

    def _judge_return(self) -> None:
        if not self._server.violations:  # the consequence of an illegal message is not a second fault
            super()._judge_return()

    async def judge(self) -> list[Violation]:
        """Wait until the app has ended, since the client is gone, and return its faults."""
        if not self._late:
            await self.end()
        await self.clean_up()
        return [*self.violations, *filter(None, [self.crash])]
