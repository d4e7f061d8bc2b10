"""One message is received ahead, and never more, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time, steps
from harness.messages import ACCEPT, DISCONNECT, Receive, Send
from harness.timed import Event, Timed, leaves, sends, serve, stops

# One message ahead


@pytest.mark.parametrize("takes_connect", [True, False])
@in_virtual_time
async def test_one_message_ahead_and_never_more(takes_connect: bool) -> None:
    got: list[Any] = []
    handed: list[int] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            got.append(await receive())
        await send(ACCEPT)
        while len(got) < 6:
            await anyio.sleep(10)
            handed.append(len(server.handed) - len(got))
            got.append(await receive())

    server = Timed()
    data: list[Event] = [(0, sends(text)) for text in "abcde"]
    await serve(app, *data, server=server)
    assert [message.get("text", "connect") for message in got] == ["connect", *"abcde"]
    assert got == server.handed
    assert max(handed) <= (1 if takes_connect else 2)


@in_virtual_time
async def test_messages_are_handed_on_as_they_are() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        while len(got) < 12:
            await anyio.sleep(len(got) % 3)
            got.append(await receive())

    data: list[Event] = [(number, sends(str(number) if number % 2 else b"1")) for number in range(10)]
    server = await serve(app, *data, (10, leaves))
    assert got == server.handed[: len(got)]
    assert all(one is other for one, other in zip(got[:-1], server.handed))


def with_move_on_after(receive: Receive, seconds: float) -> Any:
    async def limited() -> Any:
        with anyio.move_on_after(seconds):
            return await receive()

    return limited()


def with_wait_for(receive: Receive, seconds: float) -> Any:
    async def limited() -> Any:
        with contextlib.suppress(asyncio.TimeoutError):
            return await asyncio.wait_for(receive(), seconds)

    return limited()


def polling(receive: Receive, seconds: float) -> Any:
    """Take what there is, without waiting; trio gives nothing to those who cannot wait."""
    return with_move_on_after(receive, 0)


LIMITS = [
    ("asyncio", with_move_on_after),
    ("trio", with_move_on_after),
    ("asyncio", with_wait_for),
    ("asyncio", polling),
]


@pytest.mark.parametrize(("anyio_backend", "limited"), LIMITS)
@pytest.mark.parametrize("seconds", [0.125, 0.25, 0.3, 0.5, 0.75, 1])
@pytest.mark.parametrize("pause", [0, 0.25, 0.5, 0.6, 1.25])
@in_virtual_time
async def test_no_message_is_lost_to_a_time_limit(limited: Any, seconds: float, pause: float) -> None:
    """Messages come in the very moments, too, when the time is over, and when the guard has a look."""
    got: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while True:
            message = await limited(receive, seconds)
            if message is not None and message["type"] == DISCONNECT:
                return
            if message is not None:
                got.append(message["text"])
            if message is None or len(got) % 3 == 0:
                await anyio.sleep(pause or 0.125)

    moments = [number * 0.25 + (number % 7) * 0.5 for number in range(60)]
    moments.sort()
    data: list[Event] = [(moment, sends(str(number))) for number, moment in enumerate(moments)]
    server = await serve(app, *data, (60, leaves))
    assert got == [str(number) for number in range(60)]
    assert server.error is None


@in_virtual_time
async def test_a_receive_that_waits_for_the_message_ahead_is_given_up() -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.sleep(2)
        for _ in range(3):
            with anyio.move_on_after(1):
                await receive()
                raise AssertionError("nothing was sent yet")
        got.append((await receive())["text"])
        got.append(anyio.current_time())
        await anyio.sleep(5)
        got.append((await receive())["text"])

    await serve(app, (6, sends("a")), (7, sends("b")))
    assert got == ["a", 6, "b"]


@pytest.mark.parametrize("pause", [0, 0.25, 0.75, 2])
@pytest.mark.parametrize("receivers", [2, 5])
@in_virtual_time
async def test_several_tasks_receive_at_once(receivers: int, pause: float) -> None:
    got: list[list[int]] = [[] for _ in range(receivers)]
    ended: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen(number: int) -> None:
            while (message := await receive())["type"] != DISCONNECT:
                got[number].append(int(message["text"]))
                await anyio.sleep(pause * (number + 1))
            ended.append(anyio.current_time())

        await receive()
        await send(ACCEPT)
        await anyio.sleep(1.5)
        async with anyio.create_task_group() as group:
            for number in range(receivers):
                group.start_soon(listen, number)

    data: list[Event] = [(number * 0.25, sends(str(number))) for number in range(40)]
    await serve(app, *data, (60, leaves))
    assert all(numbers == sorted(numbers) for numbers in got)
    assert sorted(itertools.chain(*got)) == list(range(40))
    assert ended == [60] * receivers


@pytest.mark.parametrize("begins", [0, 2])
@in_virtual_time
async def test_a_task_receives_while_another_is_busy(begins: float) -> None:
    got: list[tuple[float, str]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            message = await receive()
            got.append((anyio.current_time(), message["text"]))
            await anyio.sleep(100)

        await receive()
        await send(ACCEPT)
        await anyio.sleep(begins)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(listen)

    await serve(app, (5, sends("a")), (5.25, sends("b")), (9, sends("c")))
    assert got == [(5, "a"), (5.25, "b"), (9, "c")]


@in_virtual_time
async def test_a_connection_where_nothing_happens_costs_nothing() -> None:
    """The app waits for the client, or for something else."""
    for wait in (lambda receive: receive(), lambda receive: anyio.sleep_forever()):
        done: list[int] = []

        async def app(scope: Any, receive: Receive, send: Send, wait: Any = wait) -> None:
            await receive()
            await send(ACCEPT)
            await wait(receive)

        def note(server: StrictServer, done: list[int] = done) -> None:
            done.append(steps())

        start = anyio.current_time()
        await serve(app, (start + 5, note), (start + 1000, note), (start + 1000, stops))
        assert done[1] - done[0] < 10


@in_virtual_time
async def test_e4_nothing_receives_once_the_guard_has_returned() -> None:
    """The app waits elsewhere, closes and returns at once, so that what receives ahead of it has yet to end."""
    receiving = 0

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.sleep(2)
        assert receiving == 1
        await send({"type": "websocket.close"})

    class Slow(Timed):
        async def receive(self) -> Any:
            nonlocal receiving
            receiving += 1
            try:
                return await super().receive()
            finally:
                receiving -= 1

    async def around(scope: Any, receive: Receive, send: Send) -> None:
        await guarded(scope, receive, send)
        left.append(receiving)

    guarded, left = WebSocketGuardMiddleware(app), list[int]()
    await Slow().serve(around)
    assert left == [0]
