"""In the server's process: calls an app for a visit, and finds what the visit leaves behind."""

from __future__ import annotations

from collections import Counter
from typing import Any

from asgi_wsguard.compare.journal import PLAY
from asgi_wsguard.testing import tasks

connections: Counter[str] = Counter()
"""The number of open websockets, by visit."""


async def serve(play: str, app: Any, scope: Any, receive: Any, send: Any) -> None:
    """Call the app. All tasks that it starts belong to the visit."""
    PLAY.set(play)
    connections[play] += scope["type"] == "websocket"
    try:
        await app(scope, receive, send)
    finally:
        connections[play] -= scope["type"] == "websocket"


def left(play: str) -> list[str]:
    """Return the connections and the tasks of a visit that still exist."""
    running = [task.coroutine for task in tasks.running() if task.context.get(PLAY) == play]
    names = (getattr(coroutine, "__qualname__", type(coroutine).__name__) for coroutine in running)
    return ["connection"] * connections[play] + sorted(names)


def end(side: str) -> None:
    """Cancel the tasks that a side has left behind, so that they do not disturb the other side."""
    tasks.cancel([task for task in tasks.running() if task.context.get(PLAY, "").startswith(side)])
