"""One websocket: the rules applied to the live `receive` and `send`. Every await on the server is in this file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Callable

import anyio
import anyio.lowlevel

from . import report
from .deadlines import shielded
from .endings import Meaning, meaning
from .exceptions import ClientDisconnected, ProtocolViolation
from .lifecycle import Ending, Lifecycle, Settlement, State
from .messages import SEND, Message

if TYPE_CHECKING:
    from .middleware import Options

Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# An app that ignores the disconnect that often is spinning (O8).
MAX_IGNORED_DISCONNECTS = 100
# For a handshake that the app denied: what uvicorn says then.
DISCONNECT: Message = {"type": "websocket.disconnect", "code": 1006}


class Connection:
    """One websocket scope, from the call of the app to its end."""

    __slots__ = (
        "_connected",
        "_disconnect",
        "_ended",
        "_ignored",
        "_lifecycle",
        "_lock",
        "_next",
        "_open",
        "_options",
        "_scope",
        "_server_error",
        "_server_send",
    )

    def __init__(self, scope: Message, receive: Receive, send: Send, options: Options) -> None:
        self._scope = scope
        self._options = options
        self._lifecycle = Lifecycle(
            scope.get("subprotocols") or (),
            can_deny="websocket.http.response" in (scope.get("extensions") or ()),
            strict=options.strict,
            denial=options.denial,
            crash=options.without_extension == "raise",
        )
        self._server_send = send
        self._server_error: OSError | None = None
        self._next = receive  # gives the app's next message: the server's receive(), or after the end our own
        self._connected = False  # the app has had its websocket.connect
        self._disconnect = DISCONNECT  # what the app is told, once it is over
        self._ended = False  # the app has, and what it owed is paid
        self._ignored = 0
        self._open: str | None = None  # while the connection is open: the one type that needs no look at the rules
        self._lock: anyio.Lock | None = None  # once there is a denial response: its parts go out in order

    # While the app runs

    async def receive(self) -> Message:
        """Await the app's next message."""
        message = await self._next()
        if "text" in message or "bytes" in message:
            return message
        return self._received(message)

    async def send(self, message: Message) -> None:
        """Send a message of the app's, if it may be sent by now.

        The state is looked at when this coroutine runs, not when it is made: an app may make it now and await it late.
        """
        try:
            # The short cut: well-formed data on an open connection.
            if (
                type(message) is dict
                and message["type"] == self._open
                and (
                    type(message["text"]) is str
                    if "bytes" not in message or message["bytes"] is None
                    else type(message["bytes"]) is bytes and ("text" not in message or message["text"] is None)
                )
            ):
                return await self._server_send(message)
        except OSError as exc:
            raise self._left(exc) from exc
        except KeyError:
            if "type" in message and (message.get("text") is not None or message.get("bytes") is not None):
                raise  # the server's own
        if self._lock is None:
            return await self._send(message)
        async with self._turn(self._lock):
            await self._send(message)

    async def _send(self, message: Message) -> None:
        before = self._lifecycle.state
        outgoing = self._lifecycle.sending(message)
        after = self._lifecycle.state
        self._moved()
        for sent, part in enumerate(outgoing):
            if self._ended:
                raise ClientDisconnected("the app ended before this could be sent")
            try:
                await self._server_send(part)
            except OSError as exc:
                raise self._left(exc) from exc
            except BaseException as exc:
                self._lifecycle.failed(before, after, sent, refused=isinstance(exc, Exception))
                self._moved()
                raise

    @staticmethod
    @asynccontextmanager
    async def _turn(lock: anyio.Lock) -> AsyncIterator[None]:
        # Lock.acquire() lets other tasks run even when it is free; uvicorn's legacy implementation would send then
        # what it has of a denial response, as if it were whole.
        try:
            lock.acquire_nowait()
        except anyio.WouldBlock:
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _moved(self) -> None:
        """Follow the state."""
        state = self._lifecycle.state
        self._open = SEND if state is State.OPEN else None
        if state is State.HELD and self._lock is None:
            self._lock = anyio.Lock()
        elif state is State.DENIED and self._connected:
            # Some servers never say that it is over (H5).
            self._next = self._receive_disconnect
        for repair in self._lifecycle.repairs:
            report.repaired(self._scope, repair)
        self._lifecycle.repairs = ()

    def _left(self, exc: OSError) -> ClientDisconnected:
        """Note that the server's send() said that the client has left."""
        self._server_error = exc
        self._lifecycle.left()
        self._moved()
        return ClientDisconnected("the client has left")

    def _received(self, message: Message) -> Message:
        """Note a message that is no data, on its way to the app."""
        kind = message["type"]
        if kind == "websocket.connect":
            self._connected = True
            self._moved()
        elif kind == "websocket.disconnect":
            self._disconnect = message
            self._next = self._receive_disconnect
            self._lifecycle.left()
            self._moved()
        return message

    async def _receive_disconnect(self) -> Message:
        """Give the disconnect once more (O8): servers hang here, or return at once and let a loop freeze them."""
        await anyio.lowlevel.checkpoint()
        self._ignored += 1
        if self._ignored > MAX_IGNORED_DISCONNECTS:
            raise ClientDisconnected("the app goes on receiving, although the connection is over")
        return dict(self._disconnect)

    # When the app has ended

    async def returned(self, app: App) -> None:
        """Settle after the app returned.

        Raises:
            ProtocolViolation: the answer is left to the server's crash path (`without_extension="raise"`).
            Exception: the server's refusal, for its crash path (O11).
        """
        settlement = self._lifecycle.settle(Ending.RETURNED)
        refusal, cancelled = await self._pay(settlement)
        report.ended(self._scope, settlement, Meaning(Ending.RETURNED), app, refusal=refusal)
        if settlement.crash:
            what = "the app returned without answering the handshake"
            raise ProtocolViolation(settlement.clause, what, "an accept, a close or a denial")
        failure = refusal or cancelled
        if failure is not None:
            raise failure

    async def failed(self, app: App, exc: BaseException) -> bool:
        """Settle after the app raised; tell whether its exception goes on to the server."""
        how = meaning(exc, self._lifecycle.state, self._server_error)
        settlement = self._lifecycle.settle(how.ending, how.verdict)
        refusal, cancelled = await self._pay(settlement)
        report.ended(self._scope, settlement, how, app, exc, refusal)
        if refusal is not None:
            # What the guard could not end it hands to the server's crash path (O11). An exception of the app's gets
            # there by itself; a cancellation does not.
            if how.ending is Ending.CANCELLED:
                raise refusal
            return True
        if how.handled and cancelled is not None:
            raise cancelled
        return not how.handled

    def abandoned(self) -> None:
        """End without a word: the coroutine is being thrown away, and nothing may be awaited any more."""
        self._lifecycle.settle(Ending.CANCELLED)

    async def _pay(self, settlement: Settlement) -> tuple[Exception | None, BaseException | None]:
        """Send what is owed; return the server's refusal, and a cancellation that came meanwhile."""
        self._moved()
        if not (settlement.messages or (self._lock is not None and self._lock.locked())):
            return None, None
        try:
            in_time = await shielded(self._options.close_timeout, partial(self._send_all, settlement.messages))
        except GeneratorExit:
            raise
        except OSError:
            return None, None  # The client has left: nothing is owed any more.
        except Exception as exc:
            return exc, None
        except BaseException as exc:
            return None, exc
        finally:
            self._ended = True
        if not in_time:
            report.unpaid(self._scope, settlement, self._options.close_timeout)
        return None, None

    async def _send_all(self, messages: tuple[Message, ...]) -> None:
        if self._lock is not None:
            # A task that the app left behind may be between the start of a denial response and its body.
            async with self._turn(self._lock):
                await self._send_each(messages)
        else:
            await self._send_each(messages)

    async def _send_each(self, messages: tuple[Message, ...]) -> None:
        for message in messages:
            await self._server_send(message)
