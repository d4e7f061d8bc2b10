"""The apps that test_check_app.py checks. What is wrong with each is marked with its clause."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anyio

from asgi_wsguard import WebSocketGuardMiddleware

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}
NO_APP = object()
tasks: Any = set()


async def open_websocket(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket"
    await receive()
    await send({**ACCEPT, "subprotocol": next(iter(scope["subprotocols"]), None)})


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


async def needs_header(scope: Any, receive: Any, send: Any) -> None:
    assert scope["path"] == "/chat room"
    assert scope["query_string"] == b"token=1"
    if (b"x-token", b"a:b") in scope["headers"]:
        await echo(scope, receive, send)
    else:
        await send(CLOSE)


async def returns(scope: Any, receive: Any, send: Any) -> None:  # H1
    assert scope["type"] == "websocket"


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise KeyError(scope["type"])  # H2


async def denies_in_part(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket"
    await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
    await send({"type": "websocket.http.response.body", "more_body": True})
    raise ExceptionGroup("one", [KeyError("in a group")])  # H8


async def never_answers(scope: Any, receive: Any, send: Any) -> None:
    assert scope["type"] == "websocket"
    await anyio.Event().wait()  # H4, O12


async def raises_on_open(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    raise KeyError  # O2


async def forgets_the_disconnect(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    while True:
        await send({"type": "websocket.send", "text": (await receive())["text"]})  # E3


async def loops(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    while True:
        await receive()  # O8


async def pushes(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    while True:
        await send({"type": "websocket.send", "text": "news"})
        await anyio.sleep(0.001)


async def stays(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    await anyio.Event().wait()  # O12


async def leaves_a_task(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    tasks.add(asyncio.ensure_future(forgotten()))
    await receive()


async def forgotten() -> None:
    await asyncio.Event().wait()  # left behind


async def closes_with_1006(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    await send({**CLOSE, "code": 1006})  # O4


async def sends_much(scope: Any, receive: Any, send: Any) -> None:
    await open_websocket(scope, receive, send)
    await send({"type": "websocket.send", "text": "much" * 1000, "bytes": b""})  # O9


guarded = WebSocketGuardMiddleware(returns)


class Old:
    """ASGI 2."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await echo(self.scope, receive, send)


class Holder:
    app = echo


def wsgi(environ: Any, start_response: Any) -> None: ...


def make() -> Any:
    return echo


def make_with_defaults(*args: Any) -> Any:
    return echo


def make_nothing() -> Any: ...


def make_in_vain() -> Any:
    raise KeyError("no settings")  # raised


async def make_async() -> Any: ...


# Lifespans


async def startup(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        assert scope["state"] == {"database": 1}
        return await echo(scope, receive, send)
    scope["state"]["database"] = 1
    while True:
        await send({"type": f"{(await receive())['type']}.complete"})


async def fails_to_start(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no\ndatabase"})


async def fails_and_raises(scope: Any, receive: Any, send: Any) -> None:
    await fails_to_start(scope, receive, send)
    raise KeyError("no database")  # startup


async def raises_in_startup(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        return await echo(scope, receive, send)
    await receive()
    raise KeyError("no database")  # startup


async def receives_first(scope: Any, receive: Any, send: Any) -> None:
    assert (await receive())["type"] == "websocket.connect"
    await send(ACCEPT)
    while (await receive())["type"] == "websocket.receive":
        pass


async def answers_first(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send(ACCEPT)
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({"type": "websocket.send", "text": message["text"]})


async def hangs_in_startup(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await anyio.Event().wait()  # hangs


async def raises_in_shutdown(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        return await echo(scope, receive, send)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    raise KeyError  # shutdown
