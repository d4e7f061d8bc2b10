"""The app's `receive()`, by the rules of `rules/turns.py`, and the messages that were received ahead of the app."""

from __future__ import annotations

from collections.abc import Awaitable
from contextvars import copy_context
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Callable

import anyio
import anyio.lowlevel

from ..integrations.uvicorn import server_stops
from ..rules.messages import Message
from ..rules.states import DENIED
from ..rules.turns import AWAITED, DELIVERED, GUARD, TAKEN, Gate, Source, Turns
from ..runtime import Job, is_single_call
from .tracker import Tracker
from .variables import Changes, apply, changes_since

Receive = Callable[[], Awaitable[Message]]

# Seconds to wait for a message that a server should have ready: the connect, or a disconnect.
AT_ONCE = 0.25
# How many messages of the client are read to find the disconnect behind them.
MAX_UNREAD = 1000
# The disconnect after a denial, as uvicorn (0.54.0) sends it.
DISCONNECT: Message = {"type": "websocket.disconnect", "code": 1006}
# Any other callable may do its work before it is awaited, and lose a message when it is cancelled.
PYTHON = (FunctionType, MethodType, partial)


class Inbox:
    """The receiving side of the connection.

    Args:
        receive: the server's `receive()`.
        tracker: is notified of messages, and of a client that leaves.

    Attributes:
        caller: returns the key by which the runtime finds who receives or sends.
        disconnect: the disconnect that the app gets once the connection is over.
        prefetch: the job that receives ahead of the app, while it runs.
    """

    __slots__ = (
        "_change",
        "_connect",
        "_disconnect_changes",
        "_next",
        "_server_receive",
        "_tracker",
        "caller",
        "disconnect",
        "prefetch",
        "turns",
    )

    def __init__(self, receive: Receive, tracker: Tracker) -> None:
        # granian's receive() is not a coroutine function, and a message that comes as it is cancelled is lost (2.8.7).
        self.turns = Turns(not isinstance(receive, PYTHON))  # `ahead_only`
        self.disconnect = DISCONNECT
        self.prefetch: Job | None = None
        self._server_receive = receive
        self._tracker = tracker
        self.caller = tracker.runtime.caller
        self._next = tracker.runtime.interruptible(receive)
        # For those who wait for their turn to receive, and those who were told, and receive again. Here, so that they
        # are not garbage while they wait.
        self._change: anyio.Event | None = None
        self._connect = AWAITED
        self._disconnect_changes: Changes = ()  # the context variables that came with the disconnect

    async def receive(self) -> Message:
        """Await the app's next message."""
        turns = self.turns
        if turns.turn is not None:
            return await self._receive_in_turn()
        # The fast path: nobody else receives, and the buffer is empty.
        turns.turn = self.caller()
        try:
            message: Message = await self._next()
        except GeneratorExit:
            turns.turn = None
            raise  # the coroutine is being discarded, and the event loop may have stopped
        except BaseException as exc:
            caller = turns.turn
            self._release()
            if not self._tracker.runtime.interrupted(caller, exc):
                del caller  # a task will hold the exception, which refers to this frame
                raise
            del caller
            return await self._receive_in_turn()
        turns.turn = None
        if not turns.notice and ("text" in message or "bytes" in message):
            return message
        return self._received(message)

    async def _receive_in_turn(self) -> Message:
        """Receive if somebody else does, if a message is buffered, or if the connection is over."""
        turns, waited = self.turns, False
        while True:
            source = turns.source
            if source is Source.SERVER:
                return await self.receive()
            if source is Source.BUFFER:
                return self._take_kept()
            if source is Source.DISCONNECT:
                return await self._receive_disconnect(waited)
            if turns.must_fetch:
                self._start_prefetch()
            waited = True
            await self._changed()

    def _take_kept(self) -> Message:
        kept = self.turns.pop()
        self._released()
        if isinstance(kept, Exception):
            self._tracker.app_knows()
            raise kept
        message, changes = kept
        apply(changes)
        return self._received(message)

    def _received(self, message: Message) -> Message:
        """Note a message on its way to the app."""
        turns, kind = self.turns, message["type"]
        if kind == "websocket.connect":
            self._connect = DELIVERED
            turns.connected()
            if self._tracker.lifecycle.state is DENIED:
                self.end()
        elif kind == "websocket.disconnect":
            turns.may_tell(self._who())
            turns.told()
            self._disconnected(message)
            self._tracker.app_knows()
        turns.delivered()
        if turns.notice and turns.gate is Gate.OPEN:
            self.noticed()
        self._wake()
        return message

    # The disconnect

    def _disconnected(self, message: Message) -> None:
        """Note the server's own disconnect."""
        self.disconnect = message
        self.turns.disconnected()
        self._wake()
        self._tracker.left()
        if server_stops(message):
            self._tracker.server_stops()

    def _who(self) -> Any:
        """Return the current task, or `GUARD` for any task that was made for a single call of `receive()`.

        Channels and, before Python 3.12, `asyncio.wait_for()` make a new one for each message, and a handler would be
        called again and again.
        """
        task = self._tracker.runtime.current_task()
        if self._tracker.runtime.is_apps(task) or not is_single_call(Inbox.receive.__code__):
            return task
        return GUARD

    async def _receive_disconnect(self, waited: bool) -> Message:
        """Return the disconnect, once for each task (O8).

        Some servers hang here. With others, a loop that ignores the disconnect freezes the event loop.
        """
        # Shielded, as most servers give a message that is there without a checkpoint, also to an app that polls with a
        # time limit of 0, or whose scope is cancelled.
        await anyio.lowlevel.cancel_shielded_checkpoint()
        if not self.turns.may_tell(self._who(), waited=waited):
            await self._receive_nothing()
        if self.disconnect is DISCONNECT:
            await self.find_disconnect()
        self.turns.told()
        self._tracker.app_knows()
        apply(self._disconnect_changes)
        return dict(self.disconnect)

    async def find_disconnect(self) -> None:
        """Look for the server's own disconnect, which has a code of its own."""
        self.disconnect = {**DISCONNECT}  # a copy, so that only one task looks
        for _ in range(MAX_UNREAD):
            message = await self._receive_at_once()
            if message is None:
                break
            if message["type"] == "websocket.disconnect":
                self.disconnect = message
                break

    @property
    def lacks_connect(self) -> bool:
        """Whether nobody has received the server's connect yet."""
        return self._connect is AWAITED and self.prefetch is None

    async def take_connect(self) -> None:
        """Receive the connect for the app, because the ASGI specification sends it before any answer."""
        message = await self._receive_at_once()
        if message is not None:
            self._connect = TAKEN
            self.turns.keep((message, ()))

    async def _receive_at_once(self) -> Message | None:
        """Return the message that the server has ready, if any."""
        with anyio.move_on_after(min(AT_ONCE, self._tracker.deadlines.limits.close_timeout / 4)):
            return await self._server_receive()
        return None

    async def _receive_nothing(self) -> None:
        """Wait until the task is cancelled (O8): it was given the disconnect, and uses the connection again."""
        clocks = self._tracker.deadlines.after_end
        self._tracker.app_uses()
        if clocks is not None:
            clocks.waiting += 1
        try:
            while True:
                await self._changed()
        finally:
            if clocks is not None:
                clocks.waiting -= 1

    # Receiving ahead

    def prefetch_if_idle(self) -> None:
        """Receive one message ahead of an app that is busy elsewhere, to notice a disconnect (O12)."""
        if self.turns.may_fetch:
            self._start_prefetch()

    def _start_prefetch(self) -> None:
        self.turns.fetch()
        self.prefetch = self._tracker.runtime.start(self._prefetch_one, self._prefetched)

    async def _prefetch_one(self) -> None:
        before = None if self.turns.ahead_only else copy_context()
        try:
            message = await self._server_receive()
            if message["type"] == "websocket.connect":  # not a message of the client
                self._connect = TAKEN
                self.turns.keep((message, changes_since(before)))
                self._wake()
                before = before and copy_context()
                message = await self._server_receive()
        except Exception as exc:
            self.turns.keep(exc)
            self._tracker.left()  # httpx-ws closes its queue with the disconnect in it
            return
        if message["type"] == "websocket.disconnect":
            self._disconnect_changes = changes_since(before)
            self._disconnected(message)
        else:
            self.turns.keep((message, changes_since(before)))
            self._tracker.touch()

    def _prefetched(self) -> None:
        self.prefetch = None
        self.turns.fetched()
        self._released()

    # At an end

    def pause(self) -> None:
        """Keep out of the server's `receive()` while a close is sent: granian (2.8.7) waits until nobody is in it."""
        self._interrupt_receiver(self.turns.pause())

    def resume(self) -> None:
        """Let the app receive again: the close was sent, or refused."""
        self.turns.resume()
        self._wake()

    def end(self, disconnect: Message | None = None) -> None:
        """Give the app a disconnect from now on, whatever the server does."""
        if disconnect is not None:
            self.disconnect = disconnect
        if self.turns.gate is not Gate.ENDED:
            self._interrupt_receiver(self.turns.end())

    def end_if_denied(self) -> None:
        """Give the app a disconnect after its denial (H5): some servers never do."""
        if self._connect is DELIVERED and self._tracker.lifecycle.state is DENIED:
            self.end()

    def _interrupt_receiver(self, caller: Any) -> None:
        self.notice_next()
        if self.prefetch is not None:
            self.prefetch.cancel()
        if caller is not None:
            self._tracker.runtime.interrupt(caller)
        elif self.turns.turn is GUARD:
            self._wake()

    # Those who wait, and the clocks

    def notice_next(self) -> None:
        """Let the next message take the slow path, where it is noted."""
        if not self.turns.notice:
            self.turns.notice = True
            self._tracker.touch()

    def noticed(self) -> None:
        """Note the first message since the timer fired."""
        self.turns.notice = self._change is not None
        self._tracker.touch()
        self._tracker.watch()

    def _release(self) -> None:
        self.turns.release()
        self._released()

    def _released(self) -> None:
        self._tracker.watch()
        self._wake()

    async def _changed(self) -> None:
        """Wait for a change."""
        if self._change is None:
            self._change = anyio.Event()
            self.notice_next()
        await self._change.wait()

    def _wake(self) -> None:
        if self._change is not None:
            self._change.set()
            self._change = None
