"""The ASGI app that a probed server serves.

``/bare/<scenario>/<visit>`` and ``/guarded/<scenario>/<visit>`` are websockets, and so is ``/raising/...``, where the
guard leaves a denial to the crash path of a server without the extension; ``GET /left/<visit>/<seconds>`` tells
what a visit has left behind, ``GET /`` that the server answers. Old servers in other environments serve it too: it
imports the standard library, anyio and asgi_wsguard only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import anyio

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.visit import VISIT, Visit

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import App, Message, Receive, Scope, Send

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
_visits: dict[str, Visit] = {}


class _VisitLog(logging.Handler):
    """Keep each log line of the guard with the visit it is about."""

    def emit(self, record: logging.LogRecord) -> None:
        visit = VISIT.get(None)
        if visit is not None:
            visit.log.append((record.levelname, record.getMessage()))


_logger = logging.getLogger("asgi_wsguard")
_logger.setLevel(logging.DEBUG)
_logger.addHandler(_VisitLog())


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the scenarios, and tell what they left behind."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        await _guarded_http(scope, receive, send)
    else:
        await _websocket(scope, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    message: Message = {}
    while message.get("type") != "lifespan.shutdown":
        message = await receive()
        await send({"type": f"{message['type']}.complete"})


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    _, kind, name, number = scope["path"].split("/")
    scenario = _BY_NAME[name]
    serve: App = scenario.app
    if kind != "bare":
        for _ in range(scenario.guards):
            serve = WebSocketGuardMiddleware(serve, without_extension="raise" if kind == "raising" else "close")
    visit = _visits[number] = Visit(extension="websocket.http.response" in (scope.get("extensions") or {}))
    token = VISIT.set(visit)
    try:
        with visit.server:
            await serve(scope, receive, send)
        if visit.server.cancel_called and not visit.server.cancelled_caught:
            visit.notes.append("the cancellation was swallowed")
    finally:
        visit.over.set()
        VISIT.reset(token)


async def _http(scope: Scope, receive: Receive, send: Send) -> None:
    answer: dict[str, Any] = {}
    if scope["path"] == "/":
        _new_tasks()  # what is there before the first visit is no visit's
    else:
        _, _, number, seconds = scope["path"].split("/")
        answer = await _left(_visits.get(number), float(seconds))
    body = json.dumps(answer).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# What is no websocket passes the guard on every server, too (E5).
_guarded_http = WebSocketGuardMiddleware(_http)


async def _left(visit: Visit | None, seconds: float) -> dict[str, Any]:
    """Wait until nothing is left, but no longer than that; then tell what there is."""
    deadline = time.monotonic() + seconds
    while True:
        tasks = _new_tasks()
        running = visit is not None and not visit.over.is_set()
        if not (tasks or running) or time.monotonic() >= deadline:
            break
        await anyio.sleep(0.01)
    return {
        "called": visit is not None,
        "running": running,
        "tasks": sorted(tasks.elements()),
        "notes": visit.notes if visit else [],
        "log": visit.log if visit else [],
        "extension": visit.extension if visit else False,
    }


_usual: Counter[str] | None = None


def _new_tasks() -> Counter[str]:
    """Count the tasks beyond those the server always has: the fewest ever seen while it serves this very request."""
    global _usual
    tasks = Counter(_task_names())
    _usual = tasks if _usual is None else _usual & tasks
    return tasks - _usual


def _task_names() -> Iterator[str]:
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no asyncio loop runs here
        yield from _trio_task_names()
    else:
        for task in tasks:
            yield _name(task)


def _trio_task_names() -> Iterator[str]:
    import trio

    root = trio.lowlevel.current_root_task()
    assert root is not None
    tasks = [root]
    while tasks:
        task = tasks.pop()
        yield task.name
        tasks.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)


def _name(task: asyncio.Task[Any]) -> str:
    name = task.get_name()  # anyio gives its tasks a telling one
    return getattr(task.get_coro(), "__qualname__", name) if name.startswith("Task-") else name
