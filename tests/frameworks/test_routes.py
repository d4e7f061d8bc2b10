"""The route in a report is the template that a framework tells, or nothing: never the path.

And the routes of real apps that `check` finds and visits, each of which has to accept the handshake.
"""

from __future__ import annotations

from typing import Any

import falcon.asgi
import pytest
import socketio
from blacksheep import Application, WebSocket
from blacksheep.server.routing import Router
from litestar import Litestar
from litestar import WebSocket as LitestarSocket
from litestar import asgi as litestar_asgi
from litestar import websocket as litestar_websocket
from quart import Quart
from quart import websocket as quart_websocket
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi_wsguard import ConnectionReport, WebSocketGuardMiddleware
from asgi_wsguard.check.lifespan import lifespan
from asgi_wsguard.check.routes import websocket_routes
from asgi_wsguard.testing import StrictServer, WebSocketSession
from harness.backends import asyncio_only as asyncio_only

pytestmark = pytest.mark.anyio


def litestar() -> Any:
    async def endpoint(socket: LitestarSocket) -> None:
        await socket.close()

    return Litestar([litestar_websocket("/rooms/{room:int}")(endpoint)], logging_config=None)


def quart() -> Any:
    app = Quart(__name__)

    @app.websocket("/rooms/<int:room>")
    async def endpoint(room: int) -> None:
        await quart_websocket.accept()

    return app


def falcon_app() -> Any:
    class Rooms:
        async def on_websocket(self, request: Any, websocket: Any, room: str) -> None:
            await websocket.close()

    app = falcon.asgi.App()
    app.add_route("/rooms/{room}", Rooms())
    return app


async def test_route_of_blacksheep() -> None:
    app = Application(router=Router())

    @app.router.ws("/rooms/{room}")
    async def endpoint(websocket: WebSocket, room: str) -> None:
        await websocket.accept()

    await app.start()
    reports: list[ConnectionReport] = []
    await StrictServer("/rooms/007").run(WebSocketGuardMiddleware(app, observers=[reports.append]))
    assert [report.route for report in reports] == ["/rooms/{room}"]


@pytest.mark.parametrize(("app", "route"), [(litestar(), "/rooms/{room}"), (quart(), ""), (falcon_app(), "")])
async def test_route(app: Any, route: str) -> None:
    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    await StrictServer("/rooms/007").run(WebSocketGuardMiddleware(app, observers=[observe]))
    assert [report.route for report in reports] == [route]


async def echo(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket"
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        pass


def litestar_with_a_mount() -> Any:
    @litestar_asgi("/raw", is_mount=True, copy_scope=True)
    async def raw(scope: Any, receive: Any, send: Any) -> None: ...

    @litestar_websocket("/rooms/{room:int}/{file:path}")
    async def endpoint(socket: LitestarSocket) -> None:
        await socket.accept()

    return Litestar([raw, endpoint], logging_config=None)


def quart_with_paths() -> Any:
    app = Quart(__name__)

    @app.websocket("/rooms/<int:room>/<path:file>")
    async def endpoint(room: int, file: str) -> None:
        await quart_websocket.accept()

    return app


def falcon_with_paths() -> Any:
    class Rooms:
        async def on_websocket(self, request: Any, websocket: Any, room: int, file: str) -> None:
            await websocket.accept()
            await websocket.close()

    app = falcon.asgi.App()
    app.add_route("/rooms/{room:int(min=1)}/{file:path}", Rooms())
    return app


def blacksheep() -> Any:
    app, child = Application(router=Router(prefix="/v1")), Application(router=Router())

    async def endpoint(websocket: WebSocket) -> None:
        await websocket.accept()

    for router, pattern in (
        (app.router, "/rooms/{int:room}/{path:tail}"),
        (app.router, "/old/:room"),
        (app.router, "/rest/*"),
        (child.router, "/inner/<room>"),
    ):
        router.ws(pattern)(endpoint)
    app.router.get("/")(lambda: None)
    app.mount("/raw/", echo)
    app.mount("/child", child)
    return app


def mounted_socketio(mounted: str | None, path: str | None) -> Any:
    app = socketio.ASGIApp(socketio.AsyncServer(async_mode="asgi", monitor_clients=False), socketio_path=path)
    return app if mounted is None else Starlette(routes=[Mount(mounted, app)])


HANDSHAKE = "?EIO=4&transport=websocket"
# BlackSheep 2.6.4 cannot parse a path with one of these characters.
VALUES = {"room": "7", "file": "a ?#%/b", "tail": "x/y"}
ROOMS, OF_ROOMS = "/rooms/{room}/{file:path}", "/rooms/7/a%20%3F%23%25/b"


@pytest.mark.parametrize(
    ("app", "templates", "paths"),
    [
        (litestar_with_a_mount(), ["/raw (opaque)", ROOMS], [OF_ROOMS]),
        (quart_with_paths(), [ROOMS], [OF_ROOMS]),
        (falcon_with_paths(), [ROOMS], [OF_ROOMS]),
        (
            blacksheep(),
            [
                "/v1/rooms/{room}/{tail:path}",
                "/v1/old/{room}",
                "/v1/rest/{tail:path}",
                "/v1/raw (opaque)",
                "/v1/child/inner/{room}",
            ],
            ["/v1/rooms/7/x/y", "/v1/old/7", "/v1/rest/x/y", "/v1/child/inner/7"],
        ),
        *(
            (mounted_socketio(mounted, path), [f"{found}{HANDSHAKE}"], [f"{found}{HANDSHAKE}"])
            for mounted, path, found in (
                (None, "socket.io", "/socket.io/"),
                ("/", "socket.io", "/socket.io/"),
                ("/socket.io", "socket.io", "/socket.io/"),
                ("/ws", "ws/socket.io", "/ws/socket.io/"),
                ("/ws", None, "/ws/"),
            )
        ),
    ],
)
async def test_routes_that_check_finds(app: Any, templates: list[str], paths: list[str]) -> None:
    routes = websocket_routes(app)
    assert [f"{route}{' (opaque)' * route.opaque}" for route in routes] == templates
    filled = [route.filled(VALUES).path for route in routes if not route.opaque]
    assert filled == paths
    async with lifespan(app):
        for path in paths:
            async with WebSocketSession(app, path, strict=False) as client:
                assert client.accepted
