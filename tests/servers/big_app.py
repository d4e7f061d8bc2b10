"""The app of test_big.py: it echoes, and tells whether the guard handed on the very object that it got, both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asgi_wsguard import WebSocketGuardMiddleware

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import Receive, Scope, Send


def payload(message: Any) -> Any:
    return message.get("text") or message.get("bytes")


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Noted:
    """A server's or a guard's `receive` and `send`, of which the last payload in each direction is noted."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self.received: Any = None
        self.sent: Any = None
        self._receive = receive
        self._send = send

    async def receive(self) -> Any:
        message = await self._receive()
        self.received = payload(message)
        return message

    async def send(self, message: Any) -> None:
        self.sent = payload(message)
        await self._send(message)


async def app(wrap: Any, scope: Scope, receive: Receive, send: Send) -> None:
    """Echo, and close with 4000 if what is between the server and the app hands on a copy."""
    if scope["type"] != "websocket":
        return await other(scope, receive, send)
    outer = Noted(receive, send)

    async def inner_app(scope: Scope, receive: Receive, send: Send) -> None:
        inner = Noted(receive, send)

        async def checking(message: Any) -> None:
            await inner.send(message)
            if inner.received is not outer.received or inner.sent is not outer.sent:
                await outer.send({"type": "websocket.close", "code": 4000})

        await echo(scope, inner.receive, checking)

    await wrap(inner_app)(scope, outer.receive, outer.send)


async def other(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
    else:
        while True:
            await send({"type": f"{(await receive())['type']}.complete"})


LIMITS = dict.fromkeys(("idle_timeout", "max_lifetime", "send_timeout", "cleanup_timeout"), 60.0)


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    await app(lambda echo: echo, scope, receive, send)


async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
    await app(lambda echo: WebSocketGuardMiddleware(echo, **LIMITS), scope, receive, send)
