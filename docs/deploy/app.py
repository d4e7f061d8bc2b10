"""The app that the other files here deploy."""

import os
import signal

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from asgi_wsguard import Drainer, WebSocketGuardMiddleware

drainer = Drainer(
    on_signal=[signal.SIGTERM],
    grace=float(os.environ.get("DRAIN_GRACE", "10")),
    spread=float(os.environ.get("DRAIN_SPREAD", "10")),
)


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Talk to /echo.")


async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


async def drain(request: Request) -> PlainTextResponse:
    """Drain, and then answer. For commands on this machine only."""
    if request.client is None or request.client.host != "127.0.0.1":
        return PlainTextResponse("not for you", 403)
    drained = await drainer.drain()
    return PlainTextResponse(f"{drained}\n")


async def ready(request: Request) -> PlainTextResponse:
    if drainer.draining:
        return PlainTextResponse("draining", 503)
    return PlainTextResponse("ready")


routes = [
    Route("/", home),
    WebSocketRoute("/echo", echo),
    Route("/drain", drain, methods=["POST"]),
    Route("/ready", ready),
]
app = WebSocketGuardMiddleware(Starlette(routes=routes), drainer=drainer)
