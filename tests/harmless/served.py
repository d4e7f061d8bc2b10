"""What a server serves: each app twice, at /bare/NAME and at /guarded/NAME, and at /left/SIDE/NAME what it left behind.

The guard has its default options, all limits scaled.
"""

from __future__ import annotations

import inspect
import os
from typing import Any
from urllib.parse import parse_qs

import anyio

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.compare.logs import attribute_loop_errors, capture
from asgi_wsguard.compare.served import end, left, serve
from asgi_wsguard.probe.respond import respond
from harmless.apps import apps
from harmless.model import WHO, App, seconds

LIMITS = ("handshake_timeout", "exit_timeout", "close_timeout")


def guarded(app: Any) -> WebSocketGuardMiddleware:
    """Return the app behind the guard."""
    defaults = inspect.signature(WebSocketGuardMiddleware).parameters
    return WebSocketGuardMiddleware(app, **{name: seconds(defaults[name].default) for name in LIMITS})


def both(app: App) -> dict[str, Any]:
    """Return the two sides."""
    return {f"bare/{app.name}": app.around(app.make()), f"guarded/{app.name}": app.around(guarded(app.make()))}


capture()
wanted = os.environ["HARMLESS_APPS"].split()
served = {
    play: app
    for one in apps(tuple(os.environ["HARMLESS_MODULES"].split()))
    if one.name in wanted
    for play, app in both(one).items()
}


async def accept(scope: Any, receive: Any, send: Any) -> None:
    await anyio.sleep(0)  # anyio imports its backend when it is first used, which takes a while
    await receive()
    await send({"type": "websocket.accept"})


served["guarded/warm-up"] = guarded(accept)


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    attribute_loop_errors()
    _, side, name, *rest = (scope["path"] + "/").split("/", 3)
    if side == "left":
        await respond(send, left(name + "/" + rest[0].rstrip("/")))
    elif side == "end":
        end(name)
        await respond(send, [])
    elif f"{side}/{name}" not in served:
        await (send({"type": "websocket.close"}) if scope["type"] == "websocket" else respond(send, []))
    else:
        path = "/" + rest[0][:-1]
        set_who(scope)
        play = f"{side}/{name}"
        await serve(play, served[play], dict(scope, path=path, raw_path=path.encode()), receive, send)


def set_who(scope: Any) -> None:
    """Let the journal know whose connection this is."""
    WHO.set(parse_qs(scope["query_string"].decode()).get("who", [""])[0])


async def lifespan(receive: Any, send: Any) -> None:
    message = await receive()
    while message["type"] == "lifespan.startup":
        await send({"type": "lifespan.startup.complete"})
        message = await receive()
    await send({"type": "lifespan.shutdown.complete"})
