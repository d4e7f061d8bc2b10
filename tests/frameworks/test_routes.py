"""The route in a report is the template that a framework tells, or nothing: never the path."""

from __future__ import annotations

from typing import Any

import falcon.asgi
import pytest
from blacksheep import Application, WebSocket
from blacksheep.server.routing import Router
from litestar import Litestar
from litestar import WebSocket as LitestarSocket
from litestar import websocket as litestar_websocket
from quart import Quart
from quart import websocket as quart_websocket

from asgi_wsguard import ConnectionReport, WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
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
