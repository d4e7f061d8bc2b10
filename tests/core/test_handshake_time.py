"""Handshakes that take too long, or outlast their client (H4, H12, H13), in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, WebSocketGuardMiddleware
from asgi_wsguard.testing import Client, Denial, StrictServer
from harness.apps import STUCK, Stuck, app_that, noting
from harness.backends import on_asyncio, on_each_server
from harness.clock import in_virtual_time, steps
from harness.log import Log
from harness.messages import ACCEPT, BODY, CLOSE, DISCONNECT, LAST_BODY, LETS_GO, START, TEXT, Receive, Send
from harness.serving import FORBIDDEN, STOPPING
from harness.timed import Blocked, Timed, leaves, serve

# H4


@on_each_server
@in_virtual_time
async def test_h4_answered_at_the_deadline_and_cancelled_after(log: Log, denial_extension: bool) -> None:
    server = Timed(denial_extension=denial_extension)
    answer = Client(denial=STOPPING if denial_extension else FORBIDDEN)
    moments: list[float] = []

    async def wait() -> None:
        try:
            with noting(moments):
                await anyio.sleep_forever()
        finally:
            assert server.client == answer

    await serve(app_that(then=wait), server=server)
    assert server.client == answer
    assert server.times == [(20, "start"), (20, "body")] if denial_extension else [(20, "close")]
    assert moments == [20]
    assert server.ended_at == 20
    assert server.error is None
    assert log.line().startswith("ERROR [wsguard-H4] '/ws': ")


@on_each_server
@pytest.mark.parametrize("how", STUCK)
@in_virtual_time
async def test_h4_whatever_the_app_does(how: str, denial_extension: bool) -> None:
    stuck = Stuck()
    late: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await getattr(stuck, how)()
        finally:
            for message in (ACCEPT, TEXT, START, LAST_BODY):
                try:
                    await send(message)
                except ClientDisconnected:
                    late.append(message["type"])
            await send(CLOSE)

    server = Timed(denial_extension=denial_extension)
    await serve(app, (45, stuck.release), server=server)
    assert server.client == Client(denial=STOPPING if denial_extension else FORBIDDEN)
    assert {when for when, _ in server.times} == {20}
    assert late == [message["type"] for message in (ACCEPT, TEXT, START, LAST_BODY)]
    assert server.error is None
    if how in ("awaits", "lock"):
        assert server.ended_at == 20
    elif how == "swallow_once":
        assert 20 <= server.ended_at <= 30
    else:
        assert server.ended_at <= 45


@on_asyncio
@in_virtual_time
async def test_h4_an_app_in_asyncios_shield() -> None:
    inner = asyncio.get_running_loop().create_task(asyncio.sleep(45))

    async def wait() -> None:
        await asyncio.shield(inner)

    server = await serve(app_that(then=wait))
    assert server.times == [(20, "start"), (20, "body")]
    assert server.ended_at == 20
    await inner


@in_virtual_time
async def test_h4_an_app_that_ignores_cancellation_does_not_spin() -> None:
    stuck = Stuck()
    done: list[int] = []

    def note(server: StrictServer) -> None:
        done.append(steps())

    await serve(app_that(then=stuck.swallow_for_ever), (20, note), (80, note), (90, stuck.release))
    assert 2 <= stuck.cancellations <= 500
    assert done[1] - done[0] < 1000


@in_virtual_time
async def test_h4_cancelled_again() -> None:
    moments: list[float] = []

    async def wait() -> None:
        with contextlib.suppress(anyio.get_cancelled_exc_class()), noting(moments):
            await anyio.sleep_forever()
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app_that(then=wait), handshake_timeout=2, exit_timeout=4)
    assert moments[0] == 2
    assert 2 <= moments[1] <= 6
    assert server.ended_at == moments[1]


@pytest.mark.parametrize("messages", [(START,), (START, START)])
@in_virtual_time
async def test_h4_an_app_that_only_started_to_deny(messages: Any) -> None:
    """What it started says nothing yet; where it sent more, that is refused."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for message in messages:
            with contextlib.suppress(RuntimeError):
                await send(message)
        await anyio.sleep_forever()

    server = await serve(app)
    assert server.client == Client(denial=STOPPING)
    assert server.times == [(20, "start"), (20, "body")]
    assert server.ended_at == 20


@in_virtual_time
async def test_h4_an_app_in_the_middle_of_its_denial() -> None:
    """It cannot be answered again: it is left open, for the server to cut."""
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app_that(START, BODY, then=wait))
    assert server.client.denial == Denial(401, START["headers"], b"no")
    assert server.times == [(0, "start"), (0, "body")]
    assert moments == [20]
    assert server.ended_at == 20


@pytest.mark.parametrize("denial_extension", [True, False])
@in_virtual_time
async def test_h4_the_server_does_not_take_the_answer(denial_extension: bool) -> None:
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app_that(then=wait), server=Blocked(denial_extension=denial_extension))
    assert moments == [25]
    assert server.ended_at == 25


@in_virtual_time
async def test_h4_an_app_that_answers_while_the_guard_does() -> None:
    raised: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.sleep(20.25)
        try:
            await send(ACCEPT)
        except ClientDisconnected:
            raised.append(anyio.current_time())
        await anyio.sleep_forever()

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            await anyio.sleep(1)

    server = await serve(app, server=Slow())
    assert server.times == [(20, "start"), (21, "body")]
    assert raised == [20.25]
    assert server.ended_at == 22


@in_virtual_time
async def test_h4_an_app_that_answers_in_time() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.sleep(19.5)
        await send(ACCEPT)
        await anyio.sleep(100)
        await send(TEXT)

    server = await serve(app)
    assert server.times == [(19.5, "accept"), (119.5, "send"), (119.5, "close")]


@in_virtual_time
async def test_h4_off() -> None:
    server = await serve(app_that(then=partial(anyio.sleep, 3000)), handshake_timeout=None)
    assert server.client.denial is not None
    assert server.client.denial.status == 500
    assert server.ended_at == 3000


@in_virtual_time
async def test_h4_two_guards(log: Log) -> None:
    server = await serve(WebSocketGuardMiddleware(app_that(then=anyio.sleep_forever), handshake_timeout=2))
    assert server.times == [(20, "start"), (20, "body")]
    assert len(log.lines()) == 1


# H13


@in_virtual_time
async def test_h13_o11_a_late_close_is_refused_when_the_app_has_ended() -> None:
    """It does not open the connection again for the task that outlives the app."""

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            try:
                await super().send(message)
            finally:
                if message["type"] == "websocket.close":
                    await anyio.sleep(2)

    raised: list[BaseException] = []
    server = Slow(refused_codes=[4001])
    async with anyio.create_task_group() as group:

        async def late(send: Send) -> None:
            for message in ({**CLOSE, "code": 4001}, TEXT):
                try:
                    await send(message)
                except (ValueError, ClientDisconnected) as exc:
                    raised.append(exc)

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send(ACCEPT)
            group.start_soon(late, send)
            await anyio.sleep(1)

        await serve(app, server=server)
    assert [type(exc) for exc in raised] == [ValueError, ClientDisconnected]
    assert server.violations == []


# H12


@pytest.mark.parametrize("takes_connect", [True, False])
@pytest.mark.parametrize("answer", [ACCEPT, START, LAST_BODY])
@in_virtual_time
async def test_h12_the_client_leaves_while_the_app_decides(takes_connect: bool, answer: Any) -> None:
    """On a server that drops in silence what is sent then."""
    raised: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            await receive()
        if answer is LAST_BODY:
            await send(START)
        await anyio.sleep(5)
        try:
            await send(answer)
        except ClientDisconnected:
            raised.append(answer["type"])
            raise

    server = await serve(app, (2, leaves), server=Timed(raise_when_gone=False))
    assert raised == [answer["type"]]
    assert server.sent == [LETS_GO]
    assert server.ended_at == 5
    assert server.error is None


@pytest.mark.parametrize("takes_connect", [True, False])
@pytest.mark.parametrize("waits", [0, 5])
@in_virtual_time
async def test_h12_receive_gives_the_disconnect(takes_connect: bool, waits: float) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            got.append(await receive())
        await anyio.sleep(waits)
        while len(got) < 2:
            got.append(await receive())
        moments.append(anyio.current_time())

    moments: list[float] = []
    server = await serve(app, (2, lambda server: server.client_leaves(1001, "away")))
    disconnect = {"type": DISCONNECT, "code": 1001, "reason": "away"}
    assert got == [{"type": "websocket.connect"}, disconnect]
    assert moments == [max(waits, 2)]
    assert server.sent == [LETS_GO]


@pytest.mark.parametrize("takes_connect", [True, False])
@in_virtual_time
async def test_h12_an_app_that_never_decides(log: Log, takes_connect: bool) -> None:
    moments: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if takes_connect:
            await receive()
        with noting(moments):
            await anyio.sleep_forever()

    server = await serve(app, (15, leaves))
    assert server.sent == [LETS_GO]
    assert 25 <= moments[0] <= 26
    assert server.ended_at == moments[0]
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O12] '/ws': ")
