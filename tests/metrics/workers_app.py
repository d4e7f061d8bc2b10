"""The app of test_workers.py: the path names what becomes of a websocket; /metrics is what Prometheus scrapes."""

from __future__ import annotations

import os

import anyio
from scrape import forget_dead_workers, metrics  # the code blocks of docs/metrics.md
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.integrations.prometheus import PrometheusMetrics


def index(request: Request) -> Response:
    return PlainTextResponse("up")


def scrape(request: Request) -> Response:
    forget_dead_workers()
    response: Response = metrics(request)
    return response


async def room(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text(str(os.getpid()))
    async for text in websocket.iter_text():
        if text == "bye":
            return await websocket.close(4000)
        if text == "crash":
            raise KeyError(text)
        await websocket.send({"type": "websocket.send"})  # neither text nor bytes


async def denies(websocket: WebSocket) -> None:
    raise HTTPException(401)


async def crashes(websocket: WebSocket) -> None:
    raise LookupError(f"no user {id(websocket)}")


async def returns(websocket: WebSocket) -> None:
    pass


async def sleeps(websocket: WebSocket) -> None:
    await anyio.sleep_forever()


app = Starlette(
    routes=[
        Route("/", index),
        Route("/metrics", scrape),
        WebSocketRoute("/rooms/{room}", room),
        *(WebSocketRoute(f"/{endpoint.__name__}", endpoint) for endpoint in (denies, crashes, returns, sleeps)),
    ],
    middleware=[Middleware(WebSocketGuardMiddleware, handshake_timeout=0.5, observers=[PrometheusMetrics()])],
)
