"""The ASGI app that a real server serves: the user's app, observed.

A websocket goes to the user's app, whatever its path. Over HTTP the state of the last one can be queried:
``GET /reach/<note>`` waits for what a client waits for, and ``GET /left`` waits for the end and returns the findings.
``GET /`` shows that the server answers.
"""

from __future__ import annotations

import json
import os
from typing import Any

import anyio

from asgi_wsguard.check.load import load
from asgi_wsguard.check.visited import Bare, VisitedApp
from asgi_wsguard.probe.respond import respond
from asgi_wsguard.testing.server import StrictServer

SETTINGS = "ASGI_WSGUARD_CHECK"
"""The environment variable that tells the server's process what to serve."""


class Relay(StrictServer):
    """Stands between an app and a real server. It checks the app's messages, and forwards everything unchanged."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        extensions = scope.get("extensions") or {}
        super().__init__(
            subprotocols=scope.get("subprotocols") or (), denial_extension="websocket.http.response" in extensions
        )
        self.scope = scope
        self._receive = receive
        self._send = send

    async def receive(self) -> Any:
        """Give the app its next message."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.client.left = self._disconnect_received = True
        return message

    def _take(self, message: Any) -> Exception | None:
        # After an illegal message, the states of the server and the app are unknown.
        return None if self.violations else super()._take(message)

    async def _deliver(self, message: Any, error: Exception | None) -> None:
        await self._send(message)  # Legal or not: the client should see how the server reacts.


class Observer:
    """The user's app, and the HTTP interface to query it."""

    def __init__(self, app: Any, timeout: float) -> None:
        self._bare = Bare(app)
        self._timeout = timeout
        self._visited: VisitedApp | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] == "websocket":
            self._visited = VisitedApp(self._bare, Relay(scope, receive, send), self._timeout)
            await self._visited.run()
        elif scope["type"] == "http":
            _, asked, *note = scope["path"].split("/", 2)
            await respond(send, await (self._reach(*note) if asked == "reach" else self._left(asked)))
        else:
            await self._bare.app(scope, receive, send)

    async def _reach(self, note: str) -> bool:
        with anyio.move_on_after(self._timeout):
            while self._visited is None:
                await anyio.sleep(0.01)
        return self._visited is not None and await self._visited.reach(note)

    async def _left(self, asked: str) -> Any:
        """Wait for the end of the last websocket, if there is one, and return its findings."""
        visited, self._visited = self._visited, None
        violations = await visited.judge() if visited is not None else []
        return {"violations": violations, "guarded": self._bare.guarded}


def observer() -> Observer:
    """Return the observer that the environment variable describes."""
    target, factory, timeout = json.loads(os.environ[SETTINGS])
    return Observer(load(target, factory=factory), timeout)
