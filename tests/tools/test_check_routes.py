"""The websocket routes of an app: how they are found, and what `check` and `compare` do with them."""

from __future__ import annotations

import functools
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.check.routes import Route as Found
from asgi_wsguard.check.routes import websocket_routes
from asgi_wsguard.check.templates import fill, parameters
from asgi_wsguard.cli.commands import commands


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def opaque(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.close"})


ROOMS = Starlette(
    routes=[
        Route("/", lambda request: None),
        WebSocketRoute("/rooms/{room:int}", echo),
        Mount("/api/{version}", routes=[WebSocketRoute("/news", echo)]),
        Mount("/files", routes=[WebSocketRoute("/{name:path}", echo)]),
        Mount("/static", app=StaticFiles(directory=".")),
    ],
    middleware=[Middleware(WebSocketGuardMiddleware)],
)
OF_ROOMS = ["/rooms/{room}", "/api/{version}/news", "/files/{name:path}"]
DENIES = Starlette(routes=[WebSocketRoute("/a", WebSocket.close), WebSocketRoute("/b", WebSocket.close)])
ASIDE = "; the guard in the app's stack was bypassed"


def pattern(text: str, callback: Any, **more: Any) -> Any:
    """Return what Django's `path()` and `re_path()` do, in as far as it matters here."""

    class Pattern(SimpleNamespace):
        def __str__(self) -> str:
            return text

    return SimpleNamespace(pattern=Pattern(**more), callback=callback)


def url_router(*routes: Any) -> Any:
    router = URLRouter.__new__(URLRouter)  # which would ask Django to resolve them
    router.routes = list(routes)
    return router


CHANNELS = ProtocolTypeRouter(
    {
        "http": opaque,
        "websocket": url_router(
            pattern("ws/<str:room>/", opaque),
            pattern(r"^chat/(?P<name>\w+)/$", opaque, _regex="…"),
            pattern(r"^talk/(?P<name>\w+)/?$", opaque, _regex="…"),
            pattern(r"^any/.*$", opaque, _regex="…"),
            pattern(r"^all/(?P<rest>.+)$", opaque, _regex="…"),
            pattern("inner/", SimpleNamespace(inner=url_router(pattern("<slug>", opaque)))),
        ),
    }
)


class LitestarsRoute:
    path = "/litestar/{room:int}/{file:path}"


class LitestarsMount:
    path = "/mounted"
    route_handler = SimpleNamespace(fn=opaque)


LitestarsRoute.__name__ = "WebSocketRoute"
LitestarsMount.__name__ = "ASGIRoute"
OTHER = SimpleNamespace()


def falcons(template: str | None, resource: Any, *children: Any) -> Any:
    return SimpleNamespace(uri_template=template, resource=resource, children=children)


# What frameworks keep, in as far as it matters here; tests/harmless/test_check.py has the real ones.
QUART = SimpleNamespace(
    url_map=SimpleNamespace(
        iter_rules=lambda: [
            SimpleNamespace(rule="/quart/<int(min=1):room>/<path:name>", websocket=True),
            SimpleNamespace(rule="/http", websocket=False),
        ]
    )
)
FALCON_ROOMS = falcons("/falcon/{room}", SimpleNamespace(on_websocket=None))
FALCON = SimpleNamespace(_router=SimpleNamespace(_roots=[falcons(None, None, FALCON_ROOMS, falcons("/http", OTHER))]))


def blacksheeps(*patterns: bytes, mounted: Any = ()) -> Any:
    first, *others = [SimpleNamespace(pattern=pattern) for pattern in patterns]
    router = SimpleNamespace(
        registered_routes=[("GET_WS", first), ("GET", SimpleNamespace(pattern=b"/http"))],
        routes={b"GET_WS": others},  # once the app has started
    )
    return SimpleNamespace(router=router, mount_registry=SimpleNamespace(mounted_apps=mounted))


BLACKSHEEP = blacksheeps(
    b"/rooms/{int:room}/<path:file>",
    b"/old/:room",
    b"rest/*",
    mounted=[
        SimpleNamespace(pattern=b"/child/*", handler=blacksheeps(b"/inner")),
        SimpleNamespace(pattern=b"/raw/*", handler=opaque),
    ],
)
FASTAPI = SimpleNamespace(
    routes=[
        SimpleNamespace(
            original_router=SimpleNamespace(routes=[WebSocketRoute("/news", echo)]),
            include_context=SimpleNamespace(prefix="/v1"),
        )
    ]
)


@pytest.mark.parametrize(
    ("app", "routes"),
    [
        (QUART, ["/quart/{room}/{name:path}"]),
        (FALCON, ["/falcon/{room}"]),
        (FASTAPI, ["/v1/news"]),
        (SimpleNamespace(routes=[LitestarsRoute(), OTHER]), ["/litestar/{room}/{file:path}"]),
        (
            SimpleNamespace(engineio_path="/socket.io/", other_asgi_app=FASTAPI),
            ["/socket.io/?EIO=4&transport=websocket", "/v1/news"],
        ),
        (
            SimpleNamespace(engineio_path=None, other_asgi_app=None),
            ["/?EIO=4&transport=websocket"],
        ),
        (ROOMS, OF_ROOMS),
        (WebSocketGuardMiddleware(ROOMS), OF_ROOMS),
        (
            CHANNELS,
            [
                "/ws/{room}/",
                "/chat/{name}/",
                "/talk/{name}/",
                "/{path:path}",
                "/all/{rest:path}",
                "/inner/{slug}",
            ],
        ),
        (
            Starlette(
                routes=[Mount("/sio", app=SimpleNamespace(engineio_path="/sio/socket.io/", other_asgi_app=None))]
            ),
            ["/sio/socket.io/?EIO=4&transport=websocket"],
        ),
        (ProtocolTypeRouter({"http": opaque}), []),
        (opaque, []),
        (WebSocketGuardMiddleware(opaque), []),
    ],
)
def test_routes(app: Any, routes: list[str]) -> None:
    assert websocket_routes(app) == [Found(route) for route in routes]


# Wrappers


def closure(app: Any) -> Any:
    async def wrapper(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return wrapper


async def of_globals(scope: Any, receive: Any, send: Any) -> None:
    await ROOMS(scope, receive, send)


async def of_arguments(app: Any, scope: Any, receive: Any, send: Any) -> None:
    await app(scope, receive, send)


@functools.wraps(ROOMS.__call__)
async def wraps(scope: Any, receive: Any, send: Any) -> None: ...


class KeepsIt:
    def __init__(self, app: Any) -> None:
        self.next_in_line = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.next_in_line(scope, receive, send)

    async def method(self, scope: Any, receive: Any, send: Any) -> None:
        await self(scope, receive, send)

    @property
    def app(self) -> Any:
        raise RuntimeError("there is no request now")


class KeepsItSafely(KeepsIt):
    app = None


@pytest.mark.parametrize(
    "app",
    [
        closure(ROOMS),
        of_globals,
        functools.partial(of_arguments, ROOMS),
        functools.partial(opaque, app=closure(ROOMS)),
        wraps,
        ROOMS.__call__,
        KeepsItSafely(ROOMS),
        KeepsItSafely(ROOMS).method,
        closure(functools.partial(of_arguments, KeepsItSafely(closure(ROOMS)).method)),
    ],
)
def test_an_app_inside_a_wrapper(app: Any) -> None:
    assert websocket_routes(app) == [Found(route) for route in OF_ROOMS]


def test_routes_of_blacksheep() -> None:
    assert websocket_routes(BLACKSHEEP) == [
        Found("/rooms/{room}/{file:path}"),
        Found("/old/{room}"),
        Found("/rest/{tail:path}"),
        Found("/child/inner"),
        Found("/raw", opaque=True),
    ]


def test_an_app_mounted_in_litestar() -> None:
    assert websocket_routes(SimpleNamespace(routes=[LitestarsMount()])) == [Found("/mounted", opaque=True)]


def test_an_object_that_raises_when_it_is_read() -> None:
    assert websocket_routes(KeepsIt(ROOMS)) == []


def test_an_app_that_is_its_own_app_ends_the_search() -> None:
    one, other = SimpleNamespace(), SimpleNamespace()
    one.app, other.app = other, one
    assert websocket_routes(one) == []


def test_wrappers_without_end() -> None:
    app: Any = ROOMS
    for _ in range(50):
        app = closure(app)
    assert websocket_routes(app) == []


# Mounted apps and hosts


async def refers_to_its_parent(scope: Any, receive: Any, send: Any) -> None:
    PARENT.state.visits += 1


PARENT = Starlette(
    routes=[
        Mount("/raw", app=refers_to_its_parent),
        Mount("/wrapped", app=closure(ROOMS)),
        Mount("/again", app=closure(ROOMS)),
        Mount("/http", routes=[Route("/", lambda request: None)]),
        Host("ws.example.org", routes := Starlette(routes=[WebSocketRoute("/hosted", echo)])),
        Host("{name}.example.org", routes),
        Host("raw.example.org", opaque),
    ]
)


def test_mounted_apps_and_hosts() -> None:
    assert websocket_routes(PARENT) == [
        Found("/raw", opaque=True),
        *(Found(f"/wrapped{route}") for route in OF_ROOMS),
        *(Found(f"/again{route}") for route in OF_ROOMS),
        Found("/hosted", "ws.example.org"),
        Found("/hosted", "{name}.example.org"),
        Found("/", "raw.example.org", opaque=True),
    ]


def test_a_mounted_closure_refers_to_its_parent() -> None:
    async def raw(scope: Any, receive: Any, send: Any) -> None:
        parent.state.visits += 1

    parent = Starlette(routes=[Mount("/raw", app=raw), WebSocketRoute("/ws", echo)])
    assert websocket_routes(parent) == [Found("/raw", opaque=True), Found("/ws")]


# Values


def test_fill() -> None:
    assert parameters("/{a}/b/{c:path}") == ["a", "c"]
    assert fill("/{a}/b/{c:path}", {"a": "1?2#ä%20", "c": "2/3 4"}) == "/1%3F2%23%C3%A4%2520/b/2/3%204"


def test_a_slash_in_a_segment() -> None:
    with pytest.raises(ValueError, match=r"^'1/2' has a slash, but a in /\{a\} is one segment of the path$"):
        fill("/{a}", {"a": "1/2"})


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("routed")
    module.rooms, module.opaque, module.denies = ROOMS, opaque, DENIES  # type: ignore[attr-defined]
    module.parent = PARENT  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "routed", module)


def run(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(commands, ["check", *arguments], prog_name="asgi-wsguard")
    return result.exit_code, result.output.splitlines()


def test_every_route_is_visited() -> None:
    values = ("--param", "room=1", "--param", "version=2#ä%20b", "--param", "name=c/d? e")
    status, lines = run("routed:rooms", *values)
    assert (status, lines) == (0, [f"no findings in 12 visits{ASIDE}"])


def test_hosts_are_visited() -> None:
    status, lines = run("routed:parent", "--param", "name=ann", "--param", "room=1", "--param", "version=v2")
    assert (status, lines) == (
        0,
        [
            "could not look into the app mounted at /raw: name its paths by --path",
            "could not look into the app mounted at raw.example.org/: name its paths by --path",
            f"no findings in 32 visits{ASIDE}",
        ],
    )


def test_a_host_without_a_value_is_told() -> None:
    _, lines = run("routed:parent")
    assert "{name}.example.org/hosted was not visited: give --param name=…" in lines


def test_the_users_host_wins() -> None:
    _, lines = run("routed:parent", "--header", "Host:other", *("--param", "name=ann"))
    assert "; the handshake of ws.example.org/hosted was denied with 403" in lines[-1]


def test_a_route_without_a_value_is_told() -> None:
    status, lines = run("routed:rooms", "--param", "room=1")
    assert status == 0
    assert lines == [
        "/api/{version}/news was not visited: give --param version=…",
        "/files/{name:path} was not visited: give --param name=…",
        f"no findings in 4 visits{ASIDE}",
    ]


def test_no_route_has_a_value() -> None:
    status, lines = run("routed:rooms")
    assert status == 2
    assert "nothing was visited: give each parameter a value by --param, or name a path by --path" in lines[-1]


def test_nothing_to_visit() -> None:
    status, lines = run("routed:opaque")
    assert status == 2
    assert "nothing was visited: routed:opaque shows no websocket routes, and denies /" in lines[-1]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("rom=1", "no websocket route of the app has a parameter 'rom': there is name, room, version"),
        ("room", "'room' is not NAME=VALUE, such as room=1"),
        ("room=a/b", "'a/b' has a slash, but room in /rooms/{room} is one segment of the path"),
    ],
)
def test_a_wrong_parameter(value: str, told: str) -> None:
    status, lines = run("routed:rooms", "--param", value)
    assert status == 2
    assert told in lines[-1]


def test_a_parameter_has_one_value() -> None:
    status, lines = run("routed:rooms", "--param", "room=1", "--param", "room=2")
    assert status == 2
    assert "room has two values, '1' and '2'" in lines[-1]


def test_an_app_that_denies_every_route() -> None:
    status, lines = run("routed:denies")
    assert status == 2
    assert "nothing was visited: routed:denies denies every route; are --header and --subprotocol right?" in lines[-1]


def test_a_path_that_is_denied_is_the_users_choice() -> None:
    status, lines = run("routed:opaque", "--path", "/")
    assert status == 0
    assert "the handshake of / was denied with 403" in lines[-1]
