"""The websocket routes of an app: how they are found, and what `check` and `compare` do with them."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.check.routes import fill, parameters, websocket_routes
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
        Mount("/static", app=opaque),
    ],
    middleware=[Middleware(WebSocketGuardMiddleware)],
)
OF_ROOMS = ["/rooms/{room}", "/api/{version}/news"]
HOSTED = Starlette(routes=[Host("ws.example.org", app=Starlette(routes=[WebSocketRoute("/hosted", echo)]))])
DENIES = Starlette(routes=[WebSocketRoute("/a", WebSocket.close), WebSocketRoute("/b", WebSocket.close)])
ASIDE = "; the guard in the app's stack stood aside"


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
            pattern("inner/", url_router(pattern("<slug>", opaque))),
        ),
    }
)


class LitestarsRoute:
    path_format = "/litestar/{room}"


LitestarsRoute.__name__ = "WebSocketRoute"
OTHER = SimpleNamespace()


def falcons(template: str | None, resource: Any, *children: Any) -> Any:
    return SimpleNamespace(uri_template=template, resource=resource, children=children)


# What frameworks keep, in as far as it matters here; tests/harmless/test_check.py has the real ones.
QUART = SimpleNamespace(
    url_map=SimpleNamespace(
        iter_rules=lambda: [
            SimpleNamespace(rule="/quart/<int:room>/<name>", websocket=True),
            SimpleNamespace(rule="/http", websocket=False),
        ]
    )
)
FALCON_ROOMS = falcons("/falcon/{room}", SimpleNamespace(on_websocket=None))
FALCON = SimpleNamespace(_router=SimpleNamespace(_roots=[falcons(None, None, FALCON_ROOMS, falcons("/http", OTHER))]))
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
        (QUART, ["/quart/{room}/{name}"]),
        (FALCON, ["/falcon/{room}"]),
        (FASTAPI, ["/v1/news"]),
        (SimpleNamespace(routes=[LitestarsRoute(), OTHER]), ["/litestar/{room}"]),
        (
            SimpleNamespace(engineio_path="/socket.io/", other_asgi_app=FASTAPI),
            ["/socket.io/?EIO=4&transport=websocket", "/v1/news"],
        ),
        (ROOMS, OF_ROOMS),
        (WebSocketGuardMiddleware(ROOMS), OF_ROOMS),
        (HOSTED, ["/hosted"]),
        (CHANNELS, ["/ws/{room}/", "/chat/{name}/", "/talk/{name}/", "/{path}", "/inner/{slug}"]),
        (
            Starlette(routes=[Mount("/sio", app=SimpleNamespace(engineio_path="/sio/socket.io/"))]),
            ["/sio/socket.io/?EIO=4&transport=websocket"],
        ),
        (ProtocolTypeRouter({"http": opaque}), []),
        (opaque, []),
        (WebSocketGuardMiddleware(opaque), []),
    ],
)
def test_routes(app: Any, routes: list[str]) -> None:
    assert websocket_routes(app) == routes


def test_an_app_that_is_its_own_app_ends_the_search() -> None:
    one, other = SimpleNamespace(), SimpleNamespace()
    one.app, other.app = other, one
    assert websocket_routes(one) == []


def test_fill() -> None:
    assert parameters("/{a}/b/{c}") == ["a", "c"]
    assert fill("/{a}/b/{c}", {"a": "1", "c": "2"}) == "/1/b/2"


@pytest.fixture(autouse=True)
def _modules(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("routed")
    module.rooms, module.opaque, module.denies = ROOMS, opaque, DENIES  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "routed", module)


def run(*arguments: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(commands, ["check", *arguments], prog_name="asgi-wsguard")
    return result.exit_code, result.output.splitlines()


def test_every_route_is_visited() -> None:
    status, lines = run("routed:rooms", "--param", "room=1", "--param", "version=v2")
    assert (status, lines) == (0, [f"no findings in 8 visits{ASIDE}"])


def test_a_route_without_a_value_is_told() -> None:
    status, lines = run("routed:rooms", "--param", "room=1")
    assert status == 0
    assert lines == ["/api/{version}/news was not visited: give --param version=…", f"no findings in 4 visits{ASIDE}"]


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
        ("rom=1", "no websocket route of the app has a parameter 'rom': there is room, version"),
        ("room", "'room' is not NAME=VALUE, such as room=1"),
        ("room=a?b=1", "'a?b=1' cannot be part of a path, as it holds ? or #"),
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
