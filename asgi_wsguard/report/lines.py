"""The line of the user's own code where something happened: file and line, or an empty string if there is none.

Everything here looks at frames and code objects, and reads no source. The app's frames are those between the guard's
call of the app and the app's calls of the guard's `receive()` and `send()`. Frames outside of these, such as the
server's, its launcher's or those of middleware around the guard, never name the line.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import sys
from collections.abc import Iterator
from functools import lru_cache, partial, wraps
from types import AsyncGeneratorType, CodeType, CoroutineType, FrameType, FunctionType, GeneratorType, TracebackType
from typing import Any, Callable, NamedTuple, TypeVar

from ..rules.messages import Message

# Also the libraries of another Python or another user, as in a virtual environment that uses the system's packages.
PACKAGES = frozenset({"site-packages", "dist-packages"})
_HERE = os.path.dirname(os.path.dirname(__file__))
_FOLDERS = ("check", "cli", "compare", "connection", "drain", "report", "rules", "runtime", "testing")
_OURS = frozenset({_HERE, *(os.path.join(_HERE, folder) for folder in _FOLDERS)})
# In these frames of the guard the app has called the guard. In all others the guard calls the app.
_CALLED_BY_APP = frozenset({"receive", "send"})
# Inside the last frame of these modules are the endpoint and its dependencies. Outside is middleware. The local
# variable knows the endpoint, by its scope or as the consumer itself.
_ROUTERS = {
    "starlette.routing": "scope",
    "fastapi.routing": "scope",
    "litestar.routes.websocket": "scope",
    "channels.consumer": "self",
}
_traceback: Any = vars(BaseException)["__traceback__"]  # a class in the app may override this attribute
_Place = TypeVar("_Place", bound="Callable[..., str]")


class _Step(NamedTuple):
    frame: FrameType
    line: int

    @property
    def is_users(self) -> bool:
        return _is_users(self.frame.f_code.co_filename)

    @property
    def is_ours(self) -> bool:
        return _is_ours(self.frame.f_code.co_filename)

    @property
    def has_left(self) -> bool:
        """Whether the app has called us here."""
        return self.is_ours and self.frame.f_code.co_name in _CALLED_BY_APP

    @property
    def router(self) -> str:
        """The module, if it knows the endpoint; else empty."""
        module = self.frame.f_globals.get("__name__", "")
        return module if module in _ROUTERS else ""

    def __str__(self) -> str:
        return f"{self.frame.f_code.co_filename}:{self.line}"


def _never_fails(place: _Place) -> _Place:
    """Return no line if the inspected objects are so odd that they raise: the connection must still end properly."""

    @wraps(place)
    def looked(*args: Any, **kwargs: Any) -> str:
        try:
            return place(*args, **kwargs)
        except KeyboardInterrupt:
            raise
        except BaseException:
            return ""

    return looked  # type: ignore[return-value]


@_never_fails
def of_exception(exc: BaseException) -> str:
    """Return the line of the deepest frame that is the user's."""
    steps = []
    traceback: TracebackType | None = _traceback.__get__(exc)
    while traceback is not None:
        steps.append(_Step(traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return _deepest(steps)


@_never_fails
def of_waiting(coroutine: Any, *, anyone: bool = False) -> str:
    """Return the line of the user's innermost frame in what a coroutine awaits; else, with `anyone`, of any frame."""
    steps, _ = _awaiting(coroutine)
    return _deepest(steps) or (str(steps[-1]) if anyone and steps else "")


@_never_fails
def of_waiting_app(coroutine: Any, scope: Message, app: object) -> str:
    """Return the line where the app waits, also in a task that the app's own task waits for; else that of the app.

    This may take some time, so it is only for deadlines.
    """
    return _of_tasks(coroutine) or of_app(scope, app)


@_never_fails
def _of_tasks(coroutine: Any) -> str:
    return _Waiting(coroutine, set()).place()


@_never_fails
def of_caller() -> str:
    """Return the line of the user's nearest running frame in the current task."""
    bottom = _outermost_frame_of_task()
    steps: list[_Step] = []
    frame = sys._getframe(1) if bottom is not None else None
    while frame is not None:
        step = _Step(frame, frame.f_lineno)
        if steps or not step.is_ours:
            steps.append(step)
        frame = None if frame is bottom else frame.f_back
    return _deepest(steps[::-1])


@_never_fails
def of_app(scope: Message, app: object) -> str:
    """Return the line of the endpoint, if the framework tells it; else of the app."""
    candidates = (scope.get("endpoint"), getattr(scope.get("route_handler"), "fn", None), _innermost(app))
    return next(filter(None, (_of_definition(found) for found in candidates if found is not None)), "")


def _innermost(app: object) -> object:
    """Return the app inside what wraps it: middleware keeps it as `app`."""
    for _ in range(20):
        app = getattr(app, "app", app)
    return app


def _of_definition(candidate: Any) -> str:
    """Return the line where a function, a class or the class of an object is defined."""
    candidate = inspect.unwrap(candidate)
    while isinstance(candidate, partial):
        candidate = candidate.func
    code = getattr(getattr(candidate, "__func__", candidate), "__code__", None)
    if isinstance(code, CodeType):
        return _text(code) if _is_users(code.co_filename) else ""
    for kind in inspect.getmro(candidate if inspect.isclass(candidate) else type(candidate)):
        if not _is_users(getattr(sys.modules.get(kind.__module__), "__file__", None) or ""):
            continue
        own = f"{kind.__qualname__}."
        functions = [value for value in vars(kind).values() if isinstance(value, FunctionType)]
        codes = [function.__code__ for function in functions if function.__qualname__.startswith(own)]
        codes = [code for code in codes if _is_users(code.co_filename)]
        if codes:
            first = min(codes, key=lambda code: code.co_firstlineno)
            # Before Python 3.13 a class does not know its line, but that of its first method is close.
            return _text(first, getattr(kind, "__firstlineno__", None))
    return ""


def _text(code: CodeType, line: int | None = None) -> str:
    return f"{code.co_filename}:{line or code.co_firstlineno}"


def _deepest(steps: list[_Step]) -> str:
    """Return the line of the user's innermost step, among the steps of the app."""
    steps = _of_app(steps)
    routers = [number for number, step in enumerate(steps) if step.router]
    if not routers:
        return _last_of_user(steps)
    of_endpoint = _last_of_user(steps[routers[-1] :])
    # A dependency in a library or in a thread may have no line here.
    return of_endpoint or _of_routed(steps[number] for number in reversed(routers)) or _last_of_user(steps)


def _of_routed(routers: Iterator[_Step]) -> str:
    """Return the line of the endpoint, from the innermost router that knows it."""
    for router in routers:
        known = router.frame.f_locals.get(_ROUTERS[router.router])
        if known is not None:
            return of_app(known, None) if isinstance(known, dict) else of_app({}, known)
    return ""


def _of_app(steps: list[_Step]) -> list[_Step]:
    """Return the steps between the guard's call of the app and the app's call of the guard."""
    left = next((number for number, step in enumerate(steps) if step.has_left), len(steps))
    entered = [number for number, step in enumerate(steps[:left], 1) if step.is_ours]
    if not entered:
        return steps[:left]
    # If there is a guard inside a guard, the frames between them are middleware.
    innermost = steps[entered[-1] : left]
    return innermost if _last_of_user(innermost) else steps[entered[0] : left]


def _last_of_user(steps: list[_Step]) -> str:
    return next((str(step) for step in reversed(steps) if step.is_users), "")


@lru_cache(maxsize=1024)
def _is_users(file: str) -> bool:
    if file.startswith(_not_users()) or _is_ours(file):
        return False
    return PACKAGES.isdisjoint(os.path.normpath(file).split(os.sep))


@lru_cache(maxsize=1)
def _not_users() -> tuple[str, ...]:
    """Return how a file of no user begins: code without a file, libraries and console scripts."""
    import sysconfig  # large, and not needed as long as no app is at fault

    folders = (sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib", "scripts"))
    return ("<", *{os.path.join(folder, "") for folder in folders})


@lru_cache(maxsize=1024)
def _is_ours(file: str) -> bool:
    return os.path.dirname(file) in _OURS


def _outermost_frame_of_task() -> FrameType | None:
    """Return the first frame of the current task. Outside of it are the event loop and its caller."""
    try:
        coroutine: Any = getattr(asyncio.current_task(), "get_coro", lambda: None)()
    except RuntimeError:  # asyncio does not run in this thread
        from trio.lowlevel import current_task  # trio may not be installed

        coroutine = current_task().coro
    return _frame(coroutine)


# What a coroutine waits for


def _awaiting(awaited: Any) -> tuple[list[_Step], Any]:
    """Return the frames from the outermost to the innermost, and the object that the innermost awaits."""
    steps = []
    while awaited is not None:
        frame = _frame(awaited)
        if frame is not None:
            steps.append(_Step(frame, frame.f_lineno))
            awaited = _first(awaited, "cr_await", "gi_yieldfrom", "ag_await")
        elif isinstance(awaited, asyncio.Future):
            break
        else:
            # The iterators of async generators, coroutines and futures reveal their content only to the garbage
            # collector.
            inside = (CoroutineType, GeneratorType, AsyncGeneratorType, asyncio.Future)
            awaited = next((held for held in gc.get_referents(awaited) if isinstance(held, inside)), None)
    return steps, awaited


def _frame(coroutine: Any) -> FrameType | None:
    return _first(coroutine, "cr_frame", "gi_frame", "ag_frame")  # type: ignore[no-any-return]


def _first(coroutine: Any, *names: str) -> Any:
    """Return the first of these attributes that exists. Cython's coroutines have those of a coroutine."""
    return next((value for value in (getattr(coroutine, name, None) for name in names) if value is not None), None)


class _Waiting:
    """A waiting task, and the tasks that it waits for."""

    def __init__(self, coroutine: Any, seen: set[int]) -> None:
        seen.add(id(coroutine))
        self._seen = seen
        self._steps, self._awaited = _awaiting(coroutine)
        self._in_guard = any(step.has_left for step in self._steps)

    def place(self) -> str:
        """Return the line of the user's innermost frame in the deepest of the tasks."""
        # A task that receives or sends does not hold the app up, if there is another one.
        children = [] if self._in_guard else [_Waiting(coroutine, self._seen) for coroutine in self._waits_for()]
        children.sort(key=lambda child: child._in_guard)
        return next(filter(None, (child.place() for child in children)), "") or _deepest(self._steps)

    def _waits_for(self) -> Iterator[Any]:
        """Yield the coroutines of the tasks that it waits for, each once."""
        for task in self._tasks():
            coroutine = _coroutine_of(task)
            if coroutine is not None and id(coroutine) not in self._seen:
                yield coroutine

    def _tasks(self) -> Iterator[Any]:
        """Yield candidates: the object that it awaits, and objects held by a library's frames inside the user's."""
        if isinstance(self._awaited, asyncio.Future):
            yield self._awaited
            yield from getattr(self._awaited, "_children", ())  # of asyncio.gather()
        for step in reversed(self._steps):
            if step.is_users or step.is_ours:
                break
            for value in step.frame.f_locals.values():
                if isinstance(value, (list, tuple, set, frozenset)):  # as in asyncio.wait()
                    yield from list(value)
                elif isinstance(value, asyncio.Task) and step.frame.f_globals.get("__name__") == "asyncio.tasks":
                    yield value  # as in asyncio.wait_for(), before Python 3.12
                else:  # a task group of asyncio's or anyio's, and a nursery of trio's
                    for name in ("_tasks", "child_tasks"):
                        tasks = getattr(value, name, None)
                        if isinstance(tasks, (set, frozenset)):
                            yield from list(tasks)


def _coroutine_of(task: Any) -> Any:
    """Return the coroutine of a task that runs, of asyncio's or trio's; `None` if it is no such task."""
    if isinstance(task, asyncio.Task):
        return None if task.done() else task.get_coro()
    trio = sys.modules.get("trio")
    return task.coro if trio is not None and isinstance(task, trio.lowlevel.Task) else None
