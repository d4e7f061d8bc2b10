"""The app's `send()`, by the rules of `rules/lifecycle.py`, and the messages of the guard itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from math import inf
from typing import Any, Callable

import anyio
import anyio.lowlevel

from .. import integrations
from ..exceptions import ClientDisconnected, ProtocolViolation
from ..rules.messages import CLOSE, SEND, Message, disconnect_after
from ..rules.states import CLOSED, DENIED, HELD, OVER, State
from .inbox import Inbox
from .record import Record
from .tracker import Tracker

Send = Callable[[Message], Awaitable[None]]

# If the server's send() never waits, a loop of sends lets no other task run: the guard does not notice that the client
# has left, and no other connection is served. This is so on uvicorn 0.54.0 (sansio and wsproto), on hypercorn 0.18.0,
# and on any server once the connection is over.
BURST = 1024
# Each burst is counted by an iterator of this, which is faster than a number.
_BURST = [None] * (BURST - 1)
# Iterations of the event loop after which a server's send() has begun its work, in a task of its own on trio.
TURNS = 10


class Outbox:
    """The sending side of the connection.

    Args:
        send: the server's `send()`.
        tracker: knows whether the connection is open, and is notified of each step.
        inbox: is kept out of the server's `receive()` while a close is sent.
        record: is notified of sent messages, and of violations.

    Attributes:
        server_send: the server's `send()`.
        server_error: the exception of the server's `send()` when the client had left.
    """

    __slots__ = (
        "_burst",
        "_closing",
        "_drops",
        "_finished",
        "_inbox",
        "_lock",
        "_record",
        "_send_data",
        "_sends",
        "_tracker",
        "server_error",
        "server_send",
    )

    def __init__(self, send: Send, tracker: Tracker, inbox: Inbox, record: Record) -> None:
        self._tracker = tracker
        self._inbox = inbox
        self._record = record
        self._drops: bool | None = None  # discard a message that comes too late (O7); `None` means not decided yet
        self.server_send = self._send_data = send
        self._burst = iter(_BURST)  # what is left of it
        self._sends = tracker.deadlines.sends
        if self._sends is not None:
            self._send_data = tracker.runtime.abandonable(send, self._must_be_open)
        self._lock: anyio.Lock | None = None  # exists once there is a denial response, whose parts go out in order
        self._closing: Any = None  # the caller in the server's send() with the app's close
        self._finished = False  # the app has ended, and the final messages are out
        self.server_error: BaseException | None = None

    async def send(self, message: Message) -> None:
        """Send a message from the app, if it may be sent by now.

        The state is looked at when this coroutine runs, not when it is made: an app may make it now and await it late.
        """
        try:
            # The fast path: well-formed data on an open connection.
            if (
                type(message) is dict
                and message["type"] == self._tracker.data
                and (
                    type(message["text"]) is str
                    if "bytes" not in message or (binary := message["bytes"]) is None
                    else type(binary) is bytes and ("text" not in message or message["text"] is None)
                )
            ):
                if self._sends is None:
                    for _ in self._burst:
                        return await self._send_data(message)
                    await self._send_data(message)
                    return await self._take_turns()
                sends = self._sends
                if sends.caller is not None:
                    return await self._send_in_time(message)
                # As `_send_in_time` does it, without the coroutine, which takes longer than all the rest.
                if self._inbox.turns.notice:
                    self._inbox.noticed()
                sends.caller, sends.since = self._inbox.caller(), inf
                try:
                    await self._send_data(message)
                except BaseException as exc:
                    self._check_interrupted(sends.caller, exc)
                    raise
                finally:
                    sends.caller = None
                for _ in self._burst:
                    return
                return await self._take_turns()
        except ClientDisconnected:
            raise
        except (OSError, RuntimeError) as exc:
            if not integrations.client_has_left(exc):
                raise
            return await self._left(exc)
        except KeyError:
            if "type" in message and (message.get("text") is not None or message.get("bytes") is not None):
                raise  # the server's own
        if self._lock is None:
            return await self._send(message)
        async with self._turn(self._lock):
            await self._send(message)

    def _must_be_open(self) -> None:
        if self._tracker.data is not SEND:
            raise self._over("the connection was ended before this could be sent")

    async def _send_in_time(self, message: Message) -> None:
        """Send data, if `send_timeout` or `idle_timeout` is set."""
        sends = self._sends
        assert sends is not None
        if self._inbox.turns.notice:
            self._inbox.noticed()
        caller = self._inbox.caller()
        sends.others[caller] = inf
        try:
            await self._send_data(message)
        except BaseException as exc:
            self._check_interrupted(caller, exc)
            raise
        finally:
            del sends.others[caller]
        await self._count()

    def _check_interrupted(self, caller: Any, exc: BaseException) -> None:
        """Raise what the app is told, if its `send()` was interrupted."""
        if self._tracker.runtime.interrupted(caller, exc):
            self._tracker.app_knows()
            raise self._over("the connection was ended while this was being sent") from None

    async def _count(self) -> None:
        for _ in self._burst:
            return
        await self._take_turns()

    async def _take_turns(self) -> None:
        """Let other tasks run, at the end of a burst."""
        self._burst = iter(_BURST)
        await anyio.lowlevel.checkpoint()

    # One step of the lifecycle

    async def _send(self, message: Message) -> None:
        lifecycle = self._tracker.lifecycle
        before = lifecycle.state
        try:
            outgoing = lifecycle.sending(message)
        except ProtocolViolation as exc:
            self._record.note(exc.clause, exc.what, "refused")
            self._record.note_repairs(lifecycle)
            raise
        if outgoing is None:
            return await self._too_late(f"{message['type']} after the connection was {before.value}")
        after = lifecycle.state
        if after is HELD and self._lock is None:
            self._lock = anyio.Lock()
        closes = after is CLOSED and bool(outgoing)
        if closes:
            self._inbox.disconnect = disconnect_after(outgoing[0])
            self._inbox.pause()
        self._tracker.sync_state(told=after in OVER)
        if lifecycle.repairs:
            self._record.note_repairs(lifecycle)
        try:
            await self._send_step(before, after, outgoing)
        finally:
            if closes:
                self._inbox.resume()
        if after is DENIED:
            self._inbox.end_if_denied()

    async def _send_step(self, before: State, after: State, outgoing: tuple[Message, ...]) -> None:
        closes = after is CLOSED
        for sent, part in enumerate(outgoing):
            if self._finished:
                return await self._too_late("the app ended before this could be sent")
            try:
                if closes:
                    await self._send_close(part)
                elif part["type"] == SEND:
                    await (self._send_data if self._sends is None else self._send_in_time)(part)
                else:
                    await self.server_send(part)
            except ClientDisconnected:
                raise
            except BaseException as exc:
                if integrations.client_has_left(exc):
                    return await self._left(exc, closes=closes)
                refused = isinstance(exc, Exception)
                self._tracker.lifecycle.failed(before, after, sent, refused=refused)
                self._tracker.sync_state()
                if not refused:
                    self._record.sent(part)
                elif part["type"] == CLOSE:
                    self._record.odd.refused_close = exc, part.get("code")
                raise
            self._record.sent(part)

    async def _send_close(self, close: Message) -> None:
        """Send the app's own close."""
        # uvicorn 0.54.0 with --ws websockets waits here for the client's close frame, so this has a limit (E4).
        runtime = self._tracker.runtime
        caller = self._closing = runtime.caller()
        try:
            await runtime.abandonable(self.server_send, _anything)(close)
        except BaseException as exc:
            if not runtime.interrupted(caller, exc):
                raise
            self._record.odd.close_stuck = True
        finally:
            self._closing = None

    @staticmethod
    @asynccontextmanager
    async def _turn(lock: anyio.Lock) -> AsyncIterator[None]:
        # Lock.acquire() lets other tasks run even if the lock is free. uvicorn's --ws websockets (0.54.0) would then
        # send the part of a denial response that it has, as if it were complete.
        try:
            lock.acquire_nowait()
        except anyio.WouldBlock:
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    # When it is over

    def _over(self, text: str) -> ClientDisconnected:
        """Return the error for a message that comes when the connection is over."""
        return ClientDisconnected(text, self._record.path, self._tracker.lifecycle)

    async def _too_late(self, text: str, cause: BaseException | None = None) -> None:
        """Discard a message that comes when the connection is over, or raise (O7)."""
        if self._drops is None:
            self._drops = self._record.options.drops_after_end(self._record.scope)
        self._record.note_too_late(text, dropped=self._drops)
        self._tracker.app_uses()
        if not self._drops:
            self._tracker.app_knows()
            raise self._over(text) from cause
        await self._count()

    async def _left(self, exc: BaseException, *, closes: bool = False) -> None:
        """Note that the server's `send()` raised because the client has left."""
        if isinstance(exc, OSError) and self._record.options.send_after_end != "drop":
            self._drops = False  # the server does raise, whatever its ASGI version promises
        self.server_error = exc
        self._tracker.left()
        if not closes:  # closing a connection that the client has left is not a mistake (O5)
            await self._too_late("the client has left", exc)

    # For the guard

    @property
    def settled(self) -> bool:
        """Whether nothing is being sent, and the server has raised no error because the client had left."""
        return self.server_error is None and not self.busy

    @property
    def busy(self) -> bool:
        """Whether a part of a denial response is being sent."""
        return self._lock is not None and self._lock.locked()

    def interrupt(self) -> None:
        """End every `send()` of data that has a limit, whether it is stuck or not."""
        sends = self._tracker.deadlines.sends
        for caller in () if sends is None else sends.callers:
            self._tracker.runtime.interrupt(caller)

    def interrupt_close(self) -> None:
        """End the app's own close, if the server still waits in it a few iterations of the event loop later.

        An app may have blocked the event loop for as long as the limit, and the close would be lost that the server has
        not had a chance to send.
        """
        if self._closing is not None:
            self._tracker.runtime.start(self._interrupt_close, _anything)

    async def _interrupt_close(self) -> None:
        for _ in range(TURNS):
            await anyio.lowlevel.checkpoint()
        if self._closing is not None:
            self._tracker.runtime.interrupt(self._closing)

    async def send_all(self, messages: tuple[Message, ...]) -> None:
        """Send messages of the guard's own."""
        if self._lock is None:
            for message in messages:
                await self.server_send(message)
            return
        # A task that the app left behind may be between the start of a denial response and its body.
        async with self._turn(self._lock):
            for message in messages:
                await self.server_send(message)

    def finish(self) -> None:
        """Send nothing more: the app has ended, and the final messages are out."""
        self._finished = True
        # Both refer to this object: the one by its check, the other by the frames of its traceback.
        self._send_data, self.server_error = self.server_send, None


def _anything() -> None:
    """Check nothing."""
