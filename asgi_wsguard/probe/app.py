"""The ASGI app that a probed server serves.

``/bare/<scenario>/<visit>`` and ``/guarded/<scenario>/<visit>`` are websockets, and so is ``/raising/...``, where the
guard leaves a denial to the crash path of a server without the extension. ``GET /reached/<visit>/<seconds>/<note>``
waits until the visit's app has noted this, or has ended. ``GET /left/<visit>/<seconds>`` waits for the end, and returns
what the visit has left behind. ``GET /`` shows that the server answers. Old servers in other environments serve it too,
so it imports only the standard library, anyio and asgi_wsguard.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Callable, Literal

import anyio

from asgi_wsguard import ConnectionReport, WebSocketGuardMiddleware
from asgi_wsguard.options import raises_after_end
from asgi_wsguard.probe.respond import respond
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.visit import VISIT, Visit

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import App, Message, Receive, Scope, Send

_BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
_visits: dict[str, Visit] = {}


class _VisitLog(logging.Handler):
    """Adds each log line of the guard to the visit that it is about."""

    def emit(self, record: logging.LogRecord) -> None:
        visit = VISIT.get(None)
        if visit is not None:
            visit.log.append((record.levelname, record.getMessage()))


_logger = logging.getLogger("asgi_wsguard")
_logger.setLevel(logging.DEBUG)
_logger.addHandler(_VisitLog())


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the scenarios, and report what they left behind."""
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


@cache
def _served(kind: str, name: str) -> App:
    """Return a scenario's app, the same one, with the same guard, for all of its visits."""
    scenario = _BY_NAME[name]
    served = scenario.app
    if kind != "bare":
        crash_path: Literal["raise", "auto"] = "raise" if kind == "raising" else "auto"
        for _ in range(scenario.guards):
            served = WebSocketGuardMiddleware(
                served, without_extension=crash_path, observers=[_observe], **scenario.options
            )
    return served


async def _observe(report: ConnectionReport) -> None:
    VISIT.get().reports.append(report.outcome.value)


async def _websocket(scope: Scope, receive: Receive, send: Send) -> None:
    _, kind, name, number = scope["path"].split("/")
    serve = _served(kind, name)
    visit = _visits[number] = Visit(
        extension="websocket.http.response" in (scope.get("extensions") or {}), drops=not raises_after_end(scope)
    )
    token = VISIT.set(visit)
    try:
        with visit.server:
            await serve(scope, receive, send)
    except Exception as error:
        visit.raised = type(error).__name__
        raise
    else:
        if visit.server.cancel_called and not visit.server.cancelled_caught:
            visit.notes.append("the cancellation was swallowed")
    finally:
        visit.end()
        VISIT.reset(token)


async def _http(scope: Scope, receive: Receive, send: Send) -> None:
    answer: dict[str, Any] = {}
    _, asked, *more = scope["path"].split("/")
    if asked == "left":
        number, seconds = more
        answer = await left(number, float(seconds), _new_tasks)
    elif asked == "reached":
        await _reached(*more)
    else:
        _new_tasks()  # tasks from before the first visit do not count
    await respond(send, answer)


# Other scopes than websockets pass through the guard on every server, too (E5).
_guarded_http = WebSocketGuardMiddleware(_http)


async def _reached(number: str, seconds: str, note: str) -> None:
    """Wait until the app has noted this, or has ended, or time is up."""

    def reached() -> bool:
        visit = _visits.get(number)
        return visit is not None and (visit.over.is_set() or note in visit.notes)

    await _wait_until(reached, float(seconds))


async def left(number: str, seconds: float, tasks: Callable[[], Counter[str]]) -> dict[str, Any]:
    """Wait until nothing is left of a visit, or time is up; then return what is left, and stop the app.

    Args:
        number: the number of the visit, as in its path.
        seconds: the longest time to wait.
        tasks: counts the tasks that are left behind, by name.
    """

    def ended() -> bool:
        visit = _visits.get(number)
        if visit is not None:
            visit.released.set()
        return (visit is None or visit.over.is_set()) and not tasks()

    await _wait_until(ended, seconds)
    called = number in _visits
    visit = _visits[number] if called else Visit(extension=False, drops=False)
    running = called and not visit.over.is_set()
    if running:
        visit.server.cancel()
    return {
        "called": called,
        "running": running,
        "seconds": visit.seconds,
        "tasks": sorted(tasks().elements()),
        "notes": visit.notes,
        "log": visit.log,
        "reports": visit.reports,
        "raised": visit.raised,
        "extension": visit.extension,
        "drops": visit.drops,
    }


async def _wait_until(done: Callable[[], bool], seconds: float) -> None:
    deadline = anyio.current_time() + seconds
    while not done() and anyio.current_time() < deadline:
        await anyio.sleep(0.01)


_usual: Counter[str] | None = None


def _new_tasks() -> Counter[str]:
    """Count the tasks beyond those that the server always has, which are the fewest ever seen during such a request."""
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
    name = task.get_name()  # anyio gives its tasks meaningful names
    return getattr(task.get_coro(), "__qualname__", name) if name.startswith("Task-") else name
