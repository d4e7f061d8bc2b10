"""The receiving side: what the app gets, one message ahead of it where it is busy elsewhere, and the timer."""

from __future__ import annotations

import math
from collections.abc import Awaitable
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Callable

import anyio
import anyio.lowlevel

from ..deadlines import Deadlines, Limits
from ..exceptions import ClientDisconnected
from ..lifecycle import Lifecycle
from ..messages import Message
from ..runtime import runtime
from ..states import State

if TYPE_CHECKING:
    from ..runtime import Job, Timer

Receive = Callable[[], Awaitable[Message]]

# An app that ignores the disconnect that often is spinning (O8).
MAX_IGNORED_DISCONNECTS = 100
# For a handshake that was denied: what uvicorn says then.
DISCONNECT: Message = {"type": "websocket.disconnect", "code": 1006}
# The guard's mark where there is else the app's caller: it receives, or it has something to give first.
GUARD = object()
# What is no function of Python's may do its work before it is awaited, and not take kindly to being cancelled.
PYTHON = (FunctionType, MethodType, partial)


class Receiving:
    """See `Connection`, whose first part this is."""

    __slots__ = (
        "_always_ahead",
        "_arrived",
        "_attend",
        "_caller",
        "_connected",
        "_deadlines",
        "_disconnect",
        "_fetch",
        "_held",
        "_ignored",
        "_kept",
        "_lifecycle",
        "_next",
        "_receiver",
        "_server_receive",
        "_timer",
        "_timer_at",
        "_told",
        "runtime",
    )

    def __init__(self, receive: Receive, lifecycle: Lifecycle, limits: Limits) -> None:
        self._lifecycle = lifecycle
        self.runtime = runtime()
        self._caller = self.runtime.caller
        self._next = self.runtime.interruptible(receive)
        self._server_receive = receive
        # Granian's receive() is no coroutine function, and a message is lost that comes as it is cancelled.
        self._always_ahead = not isinstance(receive, PYTHON)
        # Who is in the server's receive(): a caller of the app's, GUARD or nobody.
        self._receiver: Any = GUARD if self._always_ahead else None
        self._kept: tuple[Message | Exception, ...] = ()  # received ahead, and not taken by the app yet
        self._arrived: anyio.Event | None = None  # for those who wait for their turn to receive
        self._fetch: Job | None = None  # receives ahead
        self._connected = False  # the app has had its websocket.connect
        self._disconnect = DISCONNECT  # what the app is told, once it is over
        self._held = False  # a close is being sent
        self._told = False  # a disconnect is what the app gets, from now on
        self._ignored = 0  # how many disconnects the app has had

        now = self.runtime.now()
        self._deadlines = Deadlines(limits, now)
        self._timer: Timer | None = None
        self._timer_at = math.inf
        self._attend = False  # the next message needs a look: it is the first since the timer came, say
        self._arm(self._deadlines.look(now))

    async def receive(self) -> Message:
        """Await the app's next message."""
        if self._receiver is not None:
            return await self._receive_in_turn()
        self._receiver = caller = self._caller()
        try:
            message: Message = await self._next()
        except GeneratorExit:
            self._receiver = None
            raise  # thrown away, and the event loop may run no more
        except BaseException as exc:
            self._release()
            if not self.runtime.interrupted(caller, exc):
                raise
            return await self._receive_in_turn()
        self._receiver = None
        if not self._attend and ("text" in message or "bytes" in message):
            return message
        return self._received(message)

    async def _receive_in_turn(self) -> Message:
        """Receive when somebody else does, when there is something kept, or when it is over."""
        while True:
            if self._kept:
                kept, *rest = self._kept
                self._kept = tuple(rest)
                self._release()
                if isinstance(kept, Exception):
                    raise kept
                return self._received(kept)
            if self._told:
                return await self._receive_disconnect()
            if self._receiver is None:
                return await self.receive()
            if self._always_ahead and not (self._fetch or self._held):
                self._receive_ahead()
            if self._arrived is None:
                self._arrived = anyio.Event()
                self._attend_next()
            await self._arrived.wait()

    async def _receive_disconnect(self) -> Message:
        """Give the disconnect once more (O8): servers hang here, or return at once and let a loop freeze them."""
        await anyio.lowlevel.checkpoint()
        if self._ignored == MAX_IGNORED_DISCONNECTS:
            raise ClientDisconnected("the app goes on receiving, although the connection is over")
        self._ignored += 1
        return dict(self._disconnect)

    def _receive_ahead(self) -> None:
        """Receive one message ahead of the app, which is busy elsewhere; so a disconnect shows (O12)."""
        self._receiver = GUARD
        self._fetch = self.runtime.start(self._receive_one, self._received_one)

    async def _receive_one(self) -> None:
        try:
            message = await self._server_receive()
            if message["type"] == "websocket.connect":  # no message of the client's
                self._kept += (message,)
                self._wake()
                message = await self._server_receive()
        except Exception as exc:
            self._kept += (exc,)
            self._lifecycle.left()  # httpx-ws closes its queue with the disconnect in it
            self._moved()
            return
        if message["type"] != "websocket.disconnect":
            self._kept += (message,)
            self._deadlines.active = self.runtime.now()
            return
        self._disconnected(message)

    def _received_one(self) -> None:
        self._fetch = None
        self._release()

    def _release(self) -> None:
        """Let the app receive from the server, unless there is something to be had here, or to wait for."""
        if self._kept or self._fetch or self._told or self._held or self._always_ahead:
            self._receiver = GUARD
        else:
            self._receiver = None
        self._arm(self._deadlines.look(self.runtime.now()))
        self._wake()

    def _hold(self) -> None:
        """Keep out of the server's receive() while a close is sent: granian waits with it until nobody is in there."""
        self._held = True
        self._leave_receive()

    def _resume(self) -> None:
        self._held = False
        if self._receiver is GUARD:
            self._release()

    def _leave_receive(self) -> None:
        self._attend_next()
        if self._fetch is not None:
            self._fetch.cancel()
        if self._receiver is None or self._receiver is GUARD:
            self._receiver = GUARD
            self._wake()
        else:
            self.runtime.interrupt(self._receiver)

    def _wake(self) -> None:
        if self._arrived is not None:
            self._arrived.set()
            self._arrived = None

    def _received(self, message: Message) -> Message:
        """Note a message on its way to the app."""
        kind = message["type"]
        if kind == "websocket.connect":
            self._connected = True
            self._tell_if_denied()
        elif kind == "websocket.disconnect":
            self._ignored = 1
            self._disconnected(message)
        if self._held or self._told:
            self._receiver = GUARD
        elif self._attend:
            self._attended()
        self._wake()
        return message

    def _disconnected(self, message: Message) -> None:
        self._disconnect = message
        self._told = True
        self._receiver = GUARD
        self._wake()
        self._lifecycle.left()
        self._moved()

    def _tell_if_denied(self) -> None:
        """Give the app a disconnect after its denial (H5): some servers never do."""
        if self._connected and self._lifecycle.state is State.DENIED:
            self._tell()

    def _tell(self) -> None:
        """Give the app a disconnect from now on, whatever the server does."""
        if not self._told:
            self._told = True
            self._leave_receive()

    # The timer

    def _arm(self, when: float) -> None:
        """Have the timer look then, if it does not earlier."""
        if when < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = when
            self._timer = self.runtime.call_at(when, self._look)

    def _attend_next(self) -> None:
        """Have a look at the next message; those before it went by unseen."""
        if not self._attend:
            self._attend = True
            self._deadlines.active = self.runtime.now()

    def _attended(self) -> None:
        """Note a message, the first since the timer came."""
        self._attend = self._arrived is not None
        now = self._deadlines.active = self.runtime.now()
        self._arm(self._deadlines.look(now))

    def _look(self) -> None:
        """Look at the clocks: the timer has come."""

    def _moved(self) -> None:
        """Follow the state."""
