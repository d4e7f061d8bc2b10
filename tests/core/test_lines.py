"""The place in the user's code: the app's own line, and nothing around the guard."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
import subprocess
import sys
import sysconfig
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import trio
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_wsguard import ConnectionReport, Drainer, WebSocketGuardMiddleware
from asgi_wsguard.report import lines
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time
from harness.messages import ACCEPT


def line_of(mark: str) -> str:
    """Return the place of the line that has this comment."""
    source = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = (number for number, line in enumerate(source, 1) if line.endswith(f"# {mark}"))
    return f"{__file__}:{number}"


async def reported(app: Any, **options: Any) -> ConnectionReport:
    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    guarded = WebSocketGuardMiddleware(app, observers=[observe], **options)
    server = StrictServer("/rooms/1")
    # Before Python 3.11 a cancellation of a task that the app awaits is not known to be the guard's.
    with suppress(Exception, asyncio.CancelledError):
        await server.run(guarded)
    (report,) = reports
    return report


async def never(*_: Any) -> None:
    await anyio.sleep_forever()  # never


class Around:
    """Middleware of the user's."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)  # around


# Where an app is stuck


async def in_group(scope: Any, receive: Any, send: Any) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        group.start_soon(never)
        group.start_soon(anyio.sleep, 1)


async def in_groups(scope: Any, receive: Any, send: Any) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(in_group, scope, receive, send)


async def beside_libraries(scope: Any, receive: Any, send: Any) -> None:
    async with anyio.create_task_group() as group:  # beside libraries
        group.start_soon(anyio.sleep_forever)


async def in_generator(scope: Any, receive: Any, send: Any) -> None:
    async def messages() -> AsyncIterator[None]:
        await anyio.sleep_forever()  # in generator
        yield

    async for _ in messages():
        pass


async def in_manager(scope: Any, receive: Any, send: Any) -> None:
    @asynccontextmanager
    async def session() -> AsyncIterator[None]:
        await anyio.sleep_forever()  # in manager
        yield

    async with session():
        pass


@pytest.mark.parametrize(
    ("app", "place"),
    [
        (never, "never"),
        (Around(never), "never"),
        (WebSocketGuardMiddleware(Around(never)), "never"),
        (in_group, "never"),
        (Around(in_groups), "never"),
        (in_generator, "in generator"),
        (in_manager, "in manager"),
    ],
)
@in_virtual_time
async def test_where_it_waits(app: Any, place: str) -> None:
    assert (await reported(app)).where == line_of(place)


@in_virtual_time
async def test_where_it_waits_for_libraries_alone() -> None:
    # Before Python 3.10 a task group is left on the last line that is in it.
    file, _, number = line_of("beside libraries").rpartition(":")
    assert (await reported(beside_libraries)).where in (f"{file}:{number}", f"{file}:{int(number) + 1}")


@in_virtual_time
async def test_where_it_waits_for_the_client() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()  # receives

    async def in_task(scope: Any, receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(app, scope, receive, send)

    async def of_server(receive: Any) -> Any:
        return await receive()  # outward of the guard

    for stuck in (app, in_task):
        places = []

        async def observe(report: ConnectionReport, places: list[str] = places) -> None:
            places.append(report.where)

        guarded = WebSocketGuardMiddleware(stuck, observers=[observe])
        server = StrictServer()
        await guarded(server.scope, functools.partial(of_server, server.receive), server.send)
        assert places == [line_of("receives")]


def in_asyncio(way: str) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if way == "TaskGroup":
            async with asyncio.TaskGroup() as group:
                group.create_task(never())
        task = asyncio.create_task(never())
        done = asyncio.create_task(asyncio.sleep(0))
        try:
            if way == "task":
                await task
            elif way == "gather":
                await asyncio.gather(done, task)
            elif way == "wait":
                await asyncio.wait({done, task, asyncio.current_task()})
            else:
                await asyncio.wait_for(task, 1000)
        finally:
            task.cancel()

    return app


@pytest.mark.parametrize("way", ["task", "gather", "wait", "wait_for", "TaskGroup"])
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_tasks_of_asyncio(way: str, anyio_backend: str) -> None:
    if way == "TaskGroup" and sys.version_info < (3, 11):
        pytest.skip("it came with Python 3.11")

    @in_virtual_time
    async def test() -> None:
        report = await reported(in_asyncio(way))
        assert report.where == line_of("never")

    test(anyio_backend=anyio_backend)


@pytest.mark.parametrize("anyio_backend", ["trio"])
def test_a_nursery_of_trio(anyio_backend: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(never)

    @in_virtual_time
    async def test() -> None:
        assert (await reported(app)).where == line_of("never")

    test(anyio_backend=anyio_backend)


@in_virtual_time
async def test_an_awaitable_that_hides_what_it_is() -> None:
    class Odd:
        def __getattr__(self, name: str) -> Any:
            raise ValueError(name)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()  # beside the odd

    assert (await reported(app)).where == line_of("beside the odd")
    assert lines.of_waiting(Odd()) == ""
    assert lines.of_app({}, Odd()) == ""
    assert lines.of_waiting_app(Odd(), {}, never).startswith(f"{__file__}:")


# Starlette


async def endpoint(websocket: WebSocket) -> None:  # endpoint
    await never()


class Endpoint(WebSocketEndpoint):
    async def on_connect(self, websocket: WebSocket) -> None:
        await anyio.sleep_forever()  # in a class


@pytest.mark.parametrize(("endpoint", "place"), [(endpoint, "never"), (Endpoint, "in a class")])
@pytest.mark.parametrize("mounted", [False, True])
@in_virtual_time
async def test_an_endpoint_of_starlette(endpoint: Any, place: str, mounted: bool) -> None:
    route = WebSocketRoute("/rooms/{room}", endpoint)
    app = Starlette(routes=[Mount("", Around(Starlette(routes=[route])))] if mounted else [route])
    app.add_middleware(Around)
    assert (await reported(app)).where == line_of(place)


@in_virtual_time
async def test_an_endpoint_with_no_line_of_its_own_in_sight(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it depends on, say, runs in a thread: the frames are those of libraries, and of middleware."""

    async def library(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep_forever()

    is_users = lines._is_users
    file = library.__code__.co_filename + ".library"
    library.__code__ = library.__code__.replace(co_filename=file)
    monkeypatch.setattr(lines, "_is_users", lambda name: name != file and is_users(name))
    route = WebSocketRoute("/rooms/{room}", endpoint)
    route.app = library
    app = Starlette(routes=[route])
    app.add_middleware(Around)
    assert (await reported(app)).where == line_of("endpoint")


@in_virtual_time
async def test_a_router_whose_scope_nobody_sees() -> None:
    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(Around)

    async def closed(scope: Any) -> None:
        raise ValueError

    app.router.default = lambda scope, receive, send: closed(scope)  # type: ignore[method-assign]
    assert (await reported(app)).where.startswith(f"{__file__}:")


# Around the guard


async def server_of_the_user(app: Any) -> None:
    """What is around the guard has lines of the user's, too."""
    server = StrictServer()
    await app(server.scope, server.receive, server.send)


@pytest.mark.parametrize("where", ["exception", "violation", "violation in a task", "waiting"])
@in_virtual_time
async def test_what_is_around_the_guard_is_never_the_place(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def library(scope: Any, receive: Any, send: Any) -> None:
        if where == "exception":
            raise ValueError
        if where == "waiting":
            await anyio.sleep_forever()
        if where == "violation":
            await send(ACCEPT)
            await send({"type": "websocket.close", "code": 1006})
        async with anyio.create_task_group() as group:
            group.start_soon(send, {"type": "websocket.accept", "subprotocol": "none"})

    is_users = lines._is_users
    file = library.__code__.co_filename + ".library"
    library.__code__ = library.__code__.replace(co_filename=file)
    monkeypatch.setattr(lines, "_is_users", lambda name: name != file and is_users(name))
    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    try:
        await server_of_the_user(WebSocketGuardMiddleware(library, observers=[observe]))
    except ValueError:
        assert where == "exception"
    (report,) = reports
    assert report.where == ""
    assert {violation.where for violation in report.violations} == {""} - {"" if where[:9] != "violation" else None}


def test_libraries_and_console_scripts_are_not_the_users() -> None:
    folders = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib", "scripts")]
    for file in (
        "<string>",
        "<frozen runpy>",
        *(os.path.join(folder, "uvicorn") for folder in folders),
        os.path.join("home", ".local", "lib", "site-packages", "uvicorn", "server.py"),
        os.path.join("usr", "lib", "python3", "dist-packages", "uvicorn", "server.py"),
        lines.__file__,
    ):
        assert not lines._is_users(file), file
    for file in (__file__, folders[0] + "-app/app.py"):
        assert lines._is_users(file), file


def test_no_launcher_where_the_app_is_a_library_alone(tmp_path: Path) -> None:
    """A script, or what `python -c` runs, is below the event loop."""
    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "library.py").write_text(
        "async def app(scope, receive, send):\n"
        "    await send({'type': 'websocket.accept'})\n"
        "    await send({'type': 'websocket.close', 'code': 1006})\n",
        encoding="utf-8",
    )
    launcher = tmp_path / "launch.py"
    launcher.write_text(
        "import asyncio, logging, sys\n"
        f"sys.path.insert(0, {str(package)!r})\n"
        "import library\n"
        "from asgi_wsguard import WebSocketGuardMiddleware\n"
        "from asgi_wsguard.testing import StrictServer\n"
        "logging.basicConfig(format='%(ws_violations)s', stream=sys.stdout)\n"
        "asyncio.run(StrictServer().run(WebSocketGuardMiddleware(library.app)))\n",
        encoding="utf-8",
    )
    run = subprocess.run([sys.executable, str(launcher)], check=True, capture_output=True, text=True)
    assert "1006" in run.stdout
    assert "launch.py" not in run.stdout


# The line of an app


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    async def wrapper(*args: Any) -> None:
        await function(*args)

    return wrapper


@decorated  # decorated
async def wrapped(scope: Any, receive: Any, send: Any) -> None: ...


class App:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...  # method


class Heir(App): ...


@pytest.mark.parametrize(
    ("app", "place"),
    [
        (wrapped, "decorated"),
        (functools.partial(endpoint), "endpoint"),
        (App().method, "method"),
        (Starlette(), ""),
        (len, ""),
        (None, ""),
    ],
)
def test_the_line_of_an_app(app: Any, place: str) -> None:
    assert lines.of_app({}, app) == (line_of(place) if place else "")


@pytest.mark.parametrize("app", [App, App(), Around(App()), Heir()])
def test_the_line_of_a_class(app: Any) -> None:
    first = inspect.getsourcelines(App)[1]
    assert lines.of_app({}, app) in (f"{__file__}:{first}", f"{__file__}:{first + 1}")


def test_no_source_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any) -> Any:
        raise AssertionError

    monkeypatch.setattr("linecache.getlines", read)
    monkeypatch.setattr("linecache.updatecache", read)
    for app in (wrapped, App, Starlette()):
        lines.of_app({}, app)


@in_virtual_time
async def test_a_refusal_has_no_place() -> None:
    """The app is not called."""
    drainer = Drainer()
    await drainer.drain()
    assert (await reported(App(), drainer=drainer)).where == ""

    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    app = WebSocketGuardMiddleware(never, observers=[observe], max_connections=1)
    async with anyio.create_task_group() as group:
        group.start_soon(StrictServer().run, app)
        await anyio.wait_all_tasks_blocked()
        await StrictServer().run(app)
        group.cancel_scope.cancel()
    assert [(report.outcome.clause, report.where) for report in reports] == [("E9", ""), ("H3", "")]


def test_a_router_that_does_not_know_its_endpoint_yet() -> None:
    module = next(iter(lines._ROUTERS))
    router: Any = SimpleNamespace(router=module, frame=SimpleNamespace(f_locals={}))
    assert lines._of_routed(iter([router, router])) == ""
