"""The route in a report: the template of the path, from what each framework tells."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import Mount, Router, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_wsguard import ConnectionReport, WebSocketGuardMiddleware
from asgi_wsguard.report.route import route_of
from asgi_wsguard.testing import StrictServer

pytestmark = pytest.mark.anyio


async def endpoint(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.close()


class Endpoint(WebSocketEndpoint):
    async def on_connect(self, websocket: WebSocket) -> None:
        await endpoint(websocket)


async def raw(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "websocket.accept"})


class Raw:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await raw(scope, receive, send)


inner = [WebSocketRoute("/b/{rest:path}", endpoint), WebSocketRoute("/{room}/{room2}", Endpoint)]
routes = [
    WebSocketRoute("/plain", endpoint),
    WebSocketRoute("/rooms/{room:int}/x", Endpoint),
    Mount("/m/{team}", routes=inner),
    Mount("/raw", app=Raw()),
    Mount("/sub", app=Starlette(routes=inner)),
    Mount("/router", app=Router(routes=inner)),
]


async def route(app: Any, path: str, root_path: str = "") -> str:
    """Serve the guarded app, and return the route of the report."""
    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        assert report.path == path
        reports.append(report)

    server = StrictServer(path)
    server.scope["root_path"] = root_path
    await server.run(WebSocketGuardMiddleware(app, observers=[observe]))
    return reports[0].route


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/plain", "/plain"),
        ("/rooms/12/x", "/rooms/{room}/x"),
        ("/m/red/b/1/2/3", "/m/{team}/b/{rest}"),
        ("/m/red/7/8", "/m/{team}/{room}/{room2}"),
        ("/raw/any/thing/9", "/raw/{path}"),
        ("/sub/b/1", "/sub/b/{rest}"),
        ("/router/7/8", "/router/{room}/{room2}"),
        ("/nowhere", ""),
    ],
)
async def test_starlette(path: str, expected: str) -> None:
    assert await route(Starlette(routes=routes), path) == expected


class Middleware:
    """Takes away what newer Starlettes tell."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)
        scope.pop("route", None)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/plain", "/plain"),
        ("/rooms/12/x", "/rooms/{room}/x"),
        ("/m/red/b/1/2/3", "/m/{team}/b/{rest}"),
        ("/raw/any/thing/9", "/raw/{path}"),
        ("/nowhere", ""),
    ],
)
async def test_a_starlette_that_does_not_tell_its_route(path: str, expected: str) -> None:
    assert await route(Middleware(Starlette(routes=routes)), path) == expected


def test_litestar() -> None:
    assert route_of({"path_template": "/rooms/{room}"}, "/rooms/1", None) == "/rooms/{room}"


def test_a_consumer_of_channels() -> None:
    scope = {"url_route": {"args": (), "kwargs": {"room": "lobby", "page": 3}}}
    assert route_of(scope, "/chat/lobby/3/lobby", None) == "/chat/{room}/{page}/lobby"
    assert route_of({"url_route": {}}, "/chat", None) == "/chat"


class TestChannels:
    @pytest.fixture(autouse=True)
    def channels(self) -> Any:
        from django.conf import settings

        if not settings.configured:
            settings.configure()
        return settings

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            ("/chat/lobby/", "/chat/<str:room>/"),
            ("/team/3/seat/4", "/team/<int:team>/seat/<int:seat>"),
            ("/old/7", r"/^old/(?P<n>\d+)$"),
        ],
    )
    async def test_the_routers_inside(self, path: str, expected: str) -> None:
        from channels.middleware import BaseMiddleware
        from channels.routing import ProtocolTypeRouter, URLRouter
        from channels.security.websocket import OriginValidator
        from django.urls import path as url
        from django.urls import re_path

        seats = URLRouter([url("seat/<int:seat>", raw)])
        router = URLRouter(
            [url("team/<int:team>/", seats), url("chat/<str:room>/", raw), re_path(r"^old/(?P<n>\d+)$", raw)]
        )
        app = ProtocolTypeRouter({"websocket": OriginValidator(BaseMiddleware(router), ["*"])})
        assert await route(app, path) == expected

    @pytest.mark.parametrize("path", ["/nowhere", "/team/3/nowhere"])
    def test_no_route(self, path: str) -> None:
        from channels.routing import ProtocolTypeRouter, URLRouter
        from django.urls import path as url

        router = URLRouter([url("team/<int:team>/", URLRouter([url("seat", raw)]))])
        assert route_of({}, path, router) == ""
        assert route_of({}, path, ProtocolTypeRouter({"http": raw})) == ""
        assert route_of({}, path, raw) == ""


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ({"endpoint": raw, "path_params": ["room"]}, ""),
        ({"endpoint": raw, "path_params": {"room": 1}, "root_path": None}, "/ws/{room}"),
        ({"endpoint": raw, "path_params": {"room": "ws/1"}}, "/{room}"),
        ({"endpoint": raw, "path_params": {"room": "s"}}, ""),
        ({"url_route": {"kwargs": 1}}, ""),
    ],
)
async def test_an_odd_scope(scope: dict[str, Any], expected: str) -> None:
    assert route_of(scope, "/ws/1", raw) == expected


@pytest.mark.parametrize(
    ("path", "params", "expected"),
    [
        ("/rooms/007", {"room": 7}, "/rooms/{room}"),
        ("/rooms/1.50/x", {"room": 1.5}, "/rooms/{room}/x"),
        ("/rooms/{}".format("ABCDEF00" * 4), {"room": UUID("abcdef00" * 4)}, "/rooms/{room}"),
        ("/files/a/b/c", {"rest": "b/c", "name": "a"}, "/files/{name}/{rest}"),
        ("/files/a.json", {"name": "a"}, ""),  # nobody says where it is
        ("/rooms/1", {"room": object()}, ""),
        ("/rooms/a%2Fb", {"room": "a/b"}, ""),
    ],
)
async def test_a_path_is_never_a_template(path: str, params: dict[str, Any], expected: str) -> None:
    assert route_of({"endpoint": raw, "path_params": params}, path, raw) == expected


async def test_a_mount_whose_path_nobody_knows() -> None:
    app = Starlette(routes=[Mount("/m/{team}.x", routes=inner)])
    assert await route(app, "/m/red.x/b/1") == ""


async def test_any_other_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "channels.routing", raising=False)
    assert await route(raw, "/ws/1") == ""


class Application:
    """BlackSheep's, in as far as it matters here; tests/frameworks has the real one."""

    def __init__(self, pattern: bytes | None) -> None:
        self.router = self
        self.pattern = pattern
        self.asked: list[Any] = []

    def get_match_by_method_and_path(self, *asked: Any) -> Any:
        self.asked.append(asked)
        return self if self.pattern != b"" else None


@pytest.mark.parametrize(("pattern", "route"), [(b"/rooms/{room}", "/rooms/{room}"), (b"", ""), (None, "")])
@pytest.mark.parametrize("around", [lambda app: app, lambda app: SimpleNamespace(app=app)])
async def test_blacksheep(pattern: Any, route: str, around: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blacksheep", ModuleType("blacksheep"))
    app = Application(pattern)
    assert route_of({}, "/rooms/7", around(app)) == route
    assert app.asked == [("GET_WS", "/rooms/7")]
    assert route_of({}, "/rooms/7", SimpleNamespace()) == ""
