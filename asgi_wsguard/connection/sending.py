"""The sending side: what the app sends, as far as the rules let it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Callable

import anyio

from ..exceptions import ClientDisconnected, ProtocolViolation
from ..lifecycle import Lifecycle
from ..messages import SEND, CloseCode, Message
from ..states import State
from .receiving import Receive, Receiving

if TYPE_CHECKING:
    from ..deadlines import Limits

Send = Callable[[Message], Awaitable[None]]


class Sending(Receiving):
    """See `Connection`, whose second part this is."""

    __slots__ = ("_lock", "_open", "_paid", "_send_data", "_server_error", "_server_send", "_stoppable_send")

    def __init__(self, receive: Receive, send: Send, lifecycle: Lifecycle, limits: Limits) -> None:
        super().__init__(receive, lifecycle, limits)
        self._server_send = send
        self._send_data = self._stoppable_send = send
        if limits.timed:
            self._send_data = self._timed_send
            self._stoppable_send = self.runtime.abandonable(send, self._must_be_open)
        self._server_error: OSError | None = None
        self._open: str | None = None  # while the connection is open: the one type that needs no look at the rules
        self._lock: anyio.Lock | None = None  # once there is a denial response: its parts go out in order
        self._paid = False  # the app has ended, and what it owed is paid

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
                return await self._send_data(message)
        except ClientDisconnected:
            raise
        except OSError as exc:
            raise self._left(exc) from exc
        except KeyError:
            if "type" in message and (message.get("text") is not None or message.get("bytes") is not None):
                raise  # the server's own
        if self._lock is None:
            return await self._send(message)
        async with self._turn(self._lock):
            await self._send(message)

    async def _timed_send(self, message: Message) -> None:
        """Send data, where there is a limit to the time that it takes, or to the time between two messages."""
        if self._attend:
            self._attended()
        sends, caller = self._deadlines.sends, self._caller()
        sends[caller] = inf
        try:
            await self._stoppable_send(message)
        except BaseException as exc:
            if self.runtime.interrupted(caller, exc):
                raise ClientDisconnected("the connection was ended while this was being sent") from None
            raise
        finally:
            del sends[caller]

    def _must_be_open(self) -> None:
        if self._open is None:
            raise ClientDisconnected("the connection was ended before this could be sent")

    async def _send(self, message: Message) -> None:
        before = self._lifecycle.state
        try:
            outgoing = self._lifecycle.sending(message)
        except ProtocolViolation as exc:
            self._note(exc.clause, exc.what, "refused")
            raise
        after = self._lifecycle.state
        if after is State.CLOSED and outgoing:
            self._disconnect = disconnect_after(outgoing[0])
            self._hold()
        self._moved()
        try:
            await self._send_step(before, after, outgoing)
        finally:
            if after is State.CLOSED and outgoing:
                self._resume()
        self._tell_if_denied()

    async def _send_step(self, before: State, after: State, outgoing: tuple[Message, ...]) -> None:
        for sent, part in enumerate(outgoing):
            if self._paid:
                raise ClientDisconnected("the app ended before this could be sent")
            send = self._send_data if part["type"] == SEND else self._server_send
            try:
                await send(part)
            except ClientDisconnected:
                raise
            except OSError as exc:
                raise self._left(exc) from exc
            except BaseException as exc:
                refused = isinstance(exc, Exception)
                self._lifecycle.failed(before, after, sent, refused=refused)
                self._moved()
                if not refused:
                    self._sent(part)
                raise
            self._sent(part)

    def _sent(self, message: Message) -> None:
        """Note what the server has taken of the app's."""

    def _note(self, clause: str, what: str, done: str) -> None:
        """Note what the app does wrong."""

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

    def _left(self, exc: OSError) -> ClientDisconnected:
        """Note that the server's send() said that the client has left."""
        self._server_error = exc
        self._lifecycle.left()
        self._moved()
        return ClientDisconnected("the client has left")

    # What the guard itself sends

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


def disconnect_after(close: Message) -> Message:
    """Return the disconnect that answers a close of ours."""
    code = close.get("code")
    return {
        "type": "websocket.disconnect",
        "code": CloseCode.NORMAL.value if code is None else code,
        "reason": close.get("reason") or "",
    }
