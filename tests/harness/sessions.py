"""Apps for the tests of sessions, at lines that are known."""

from __future__ import annotations

import inspect
from typing import Any

from harness.messages import ACCEPT

BAD = {"type": "websocket.send"}
LAST_BODY = {"type": "websocket.http.response.body", "body": b"way"}


class WebSocketDisconnect(Exception):
    """As Starlette and Litestar call it."""


class App:
    """Sends messages, and then does one thing more, at a line that is known."""

    def __init__(self, *messages: Any, then: Any = None) -> None:
        self.messages = messages
        self.then = then
        self.received: list[Any] = []
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.received.append(await receive())
        for message in self.messages:
            await send(message)
        if self.then is not None:
            await self.then(receive, send)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({**ACCEPT, "subprotocol": scope["subprotocols"][0], "headers": [(b"x-app", b"1")]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({**message, "type": "websocket.send"})


async def until_gone(receive: Any, send: Any) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


def line_of(function: Any, text: str) -> str:
    """Return file and line of the first line in a function that holds the text."""
    lines, first = inspect.getsourcelines(function)
    number = next(number for number, line in enumerate(lines, first) if text in line)
    return f"{inspect.getsourcefile(inspect.unwrap(function))}:{number}"
