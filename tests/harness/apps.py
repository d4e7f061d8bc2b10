"""Apps that send what a test gives them, and apps that do not end."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected
from asgi_wsguard.testing import StrictServer
from harness.clock import Thread
from harness.messages import CLOSE, DISCONNECT, TEXT, Receive, Send


class AppError(Exception):
    pass


def sending(*messages: Any, raises: BaseException | None = None) -> Any:
    """Return an app that sends the messages and raises what is given."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        if raises is not None:
            raise raises

    return app


def waiting(*messages: Any) -> Any:
    """Return an app that sends the messages and waits forever."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(*messages)(scope, receive, send)
        await anyio.sleep_forever()

    return app


@contextlib.contextmanager
def noting(moments: list[float]) -> Iterator[None]:
    """Note when a cancellation comes through."""
    try:
        yield
    except anyio.get_cancelled_exc_class():
        moments.append(anyio.current_time())
        raise


def app_that(*messages: Any, then: Callable[..., Awaitable[Any]]) -> Any:
    """Return an app that sends the messages, and then awaits `then()`."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        await then()

    return app


async def disconnected(receive: Receive) -> Any:
    """Receive until the disconnect."""
    while (message := await receive())["type"] != DISCONNECT:
        pass
    return message


class Stuck:
    """What an app does that never answers, until it is released at last."""

    def __init__(self) -> None:
        self.released = anyio.Event()
        self.thread = Thread()
        self.cancellations = 0

    def release(self, server: StrictServer) -> None:
        self.released.set()
        self.thread.let_go()

    async def awaits(self) -> None:
        await self.released.wait()

    async def lock(self) -> None:
        async def hold() -> None:
            async with lock:
                await self.released.wait()

        lock = anyio.Lock()
        async with anyio.create_task_group() as group:
            group.start_soon(hold)
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            async with lock:
                pass

    async def shield(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.released.wait()

    async def swallow_once(self) -> None:
        try:
            await self.released.wait()
        except anyio.get_cancelled_exc_class():
            await self.released.wait()

    async def swallow_for_ever(self) -> None:
        while not self.released.is_set() and self.cancellations < 1000:
            try:
                await self.released.wait()
            except anyio.get_cancelled_exc_class():
                self.cancellations += 1

    async def sit_in_a_thread(self) -> None:
        await self.thread.wait()


STUCK = [name for name in vars(Stuck) if not name.startswith("_") and name != "release"]


async def told_by_receive(receive: Receive, send: Send) -> None:
    while (await receive())["type"] != DISCONNECT:
        pass


async def told_by_send(receive: Receive, send: Send) -> None:
    with contextlib.suppress(ClientDisconnected):
        while True:
            await send(TEXT)
            await anyio.sleep(0.25)


async def told_as_it_closes(receive: Receive, send: Send) -> None:
    await anyio.sleep(4)
    await send(CLOSE)


WAYS = [told_by_receive, told_by_send, told_as_it_closes]
ways_to_know = pytest.mark.parametrize("learns", WAYS)


def slow_app(*messages: Any, then: float = 0, raises: BaseException | None = None) -> Any:
    """Return an app that takes its time, sends the messages, takes its time again, and may raise."""

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await anyio.sleep(1)
        for message in messages:
            await send(message)
        await anyio.sleep(then)
        if raises is not None:
            raise raises

    return slowly
