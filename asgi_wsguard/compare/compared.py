"""The app that a server serves: the user's, bare or guarded.

It is controlled over HTTP, below the path `CONTROL`: ``begin/<visit>`` says which visit the next websockets belong to,
``reach/<note>`` waits for what a client waits for, and ``left/<visit>`` returns what a visit has left behind. Once a
visit has begun, any other request goes to the app. Until then the answer is that the server runs.
"""

from __future__ import annotations

import json
import os
from typing import Any

import anyio

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.check.load import load
from asgi_wsguard.check.visits import AT_REST
from asgi_wsguard.compare import logs
from asgi_wsguard.compare.seen import POLL, VISIT, Seen, Visit, watch_guards
from asgi_wsguard.compare.served import left, serve
from asgi_wsguard.nesting import Bypass, bypass_guards
from asgi_wsguard.probe.respond import respond

SETTINGS = "ASGI_WSGUARD_COMPARE"
"""The environment variable that tells the process what to serve."""
CONTROL = "/asgi-wsguard-compare/"
PATIENCE = 5.0
"""The longest time that a client waits for the app to wait for it, in seconds. Then it leaves."""

BARE = "bare"
"""Without a guard. Those in the app's stack are bypassed."""
ADDED = "added"
"""With a guard around the app, with default options."""
OWN = "own"
"""As it is, with the guard in the app's stack."""


class Compared:
    """The app on one side.

    Attributes:
        play: the visit that the next websockets belong to.
    """

    def __init__(self, app: Any, side: str, timeout: float) -> None:
        self._app = WebSocketGuardMiddleware(app) if side == ADDED else Seen(app)
        self._bare = side == BARE
        self._timeout = timeout
        self._bypassing: list[Bypass] = []
        self.play = ""
        self._visit: Visit | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] == "websocket":
            await self._serve(scope, receive, send)
        elif scope["type"] == "http" and scope["path"].startswith(CONTROL):
            await respond(send, await self._told(*scope["path"][len(CONTROL) :].split("/", 1)))
        elif scope["type"] == "http" and not self.play:
            await respond(send, "ready")
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Any, receive: Any, send: Any) -> None:
        logs.attribute_loop_errors()
        self._visit = visit = Visit()
        VISIT.set(visit)

        async def taken(message: Any) -> None:
            await send(message)
            visit.take(message)

        try:
            await serve(self.play, self._call, scope, receive, taken)
        finally:
            visit.over = True

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._bare:
            return await self._app(scope, receive, send)
        with bypass_guards(scope) as bypass:
            self._bypassing.append(bypass)
            await self._app(scope, receive, send)

    async def _told(self, asked: str, what: str) -> Any:
        if asked == "begin":
            self.play, self._visit = what, None
            return True
        if asked == "reach":
            rests = what.startswith(AT_REST)
            with anyio.move_on_after(min(self._timeout, PATIENCE) if rests else self._timeout):
                return await self._reach(what)
            return rests  # an app that neither receives nor sends may be right
        return {"left": left(what), "guarded": any(bypass.inner for bypass in self._bypassing)}

    async def _reach(self, note: str) -> bool:
        while self._visit is None:
            await anyio.sleep(POLL)
        await self._visit.reach(note)
        return True


def compared() -> Compared:
    """Return the app that the environment variable describes."""
    target, factory, side, timeout = json.loads(os.environ[SETTINGS])
    current: list[Compared] = []
    logs.capture(lambda: current[0].play if current else "")
    watch_guards()
    current.append(Compared(load(target, factory=factory), side, timeout))
    return current[0]
