"""The limits of an open connection and of a server (O13 to O15, E9), in virtual time."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, WebSocketGuardMiddleware
from asgi_wsguard.testing import Client
from harness.apps import AppError, app_that, disconnected, noting
from harness.backends import on_each_server
from harness.clock import in_virtual_time
from harness.log import Log
from harness.messages import ACCEPT, CLOSE, DISCONNECT, TEXT, Receive, Send
from harness.serving import FORBIDDEN
from harness.timed import (
    TIMEOUTS,
    Blocked,
    Event,
    Timed,
    by_scope_and_by_task,
    reads,
    sends,
    serve,
    stops,
    stops_reading,
)

# O13, O14, O15


def listening(got: list[Any]) -> Any:
    """Return an app that accepts after a second, waits for the disconnect, and goes on when it has it."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep(1)
        await send(ACCEPT)
        got.append(await disconnected(receive))
        got.append(anyio.current_time())
        try:
            await send(TEXT)
        except ClientDisconnected as exc:
            got.append(type(exc))
        with noting(got):
            await receive()

    return app


@in_virtual_time
async def test_o13_nobody_says_anything(log: Log) -> None:
    got: list[Any] = []
    server = await serve(listening(got), idle_timeout=8)
    disconnect, closed_at, raised, cancelled_at = got
    assert 9 <= closed_at <= 10
    assert server.times == [(1, "accept"), (closed_at, "close")]
    assert server.client.close_code == 1001
    assert (disconnect["type"], disconnect["code"]) == (DISCONNECT, 1001)
    assert raised is ClientDisconnected
    assert cancelled_at == closed_at + 10
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O16] '/ws': The app was still using the connection 10 s after ")
    assert log.line().endswith(
        ". It was cancelled. Before that, no message was sent or received for 8 s. The client was closed with 1001."
    )


@pytest.mark.parametrize("who", ["client", "app", "app with bytes"])
@in_virtual_time
async def test_o13_a_message_either_way_keeps_it_open(who: str) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        if who == "client":
            await disconnected(receive)
            return
        for _ in range(8):
            await anyio.sleep(5)
            await send(TEXT if who == "app" else {"type": "websocket.send", "bytes": b"1"})
        await disconnected(receive)

    data: list[Event] = [(5 * number, sends("hi")) for number in range(1, 9)] if who == "client" else []
    server = await serve(app, *data, idle_timeout=8)
    assert server.client.close_code == 1001
    assert 48 <= server.times[-1][0] <= 49
    assert server.ended_at == server.times[-1][0]


@in_virtual_time
async def test_o13_not_too_early_where_two_tasks_receive() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen(begins: float) -> None:
            await anyio.sleep(begins)
            await disconnected(receive)

        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(listen, 0.25)
            group.start_soon(listen, 0.375)

    server = await serve(app, (0, sends("hi")), idle_timeout=4)
    assert 4.25 <= server.times[-1][0] <= 4.875


@in_virtual_time
async def test_o14_at_the_end_of_its_life(log: Log) -> None:
    got: list[Any] = []
    data: list[Event] = [(second, sends("hi")) for second in range(2, 40)]
    server = await serve(listening(got), *data, max_lifetime=30, idle_timeout=8)
    disconnect, closed_at, raised, cancelled_at = got
    assert closed_at == 31
    assert server.times == [(1, "accept"), (31, "close")]
    assert server.client.close_code == 1001
    assert (disconnect["type"], disconnect["code"]) == (DISCONNECT, 1001)
    assert raised is ClientDisconnected
    assert cancelled_at == 41
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O16] '/ws': The app was still using the connection 10 s after ")
    assert log.line().endswith(
        ". It was cancelled. Before that, the connection was open for 30 s. The client was closed with 1001."
    )


@pytest.mark.parametrize("deadline", ["idle_timeout", "max_lifetime"])
@pytest.mark.parametrize("repeat_disconnect", [True, False])
@in_virtual_time
async def test_o13_o14_an_app_that_does_not_listen(deadline: str, repeat_disconnect: bool) -> None:
    moments: list[float] = []

    async def wait() -> None:
        with noting(moments):
            await anyio.sleep_forever()

    server = Timed(repeat_disconnect=repeat_disconnect)
    await serve(app_that(ACCEPT, then=wait), server=server, **{deadline: 8})
    assert server.client.close_code == 1001
    assert 8 <= server.times[-1][0] <= 9
    assert moments == [server.times[-1][0] + 10]


@in_virtual_time
async def test_o13_o14_only_once_it_is_open() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.sleep(15)
        await send(ACCEPT)
        await disconnected(receive)

    for options in ({"idle_timeout": 8}, {"max_lifetime": 8}):
        start = anyio.current_time()
        server = await serve(app, **options)  # type: ignore[arg-type]
        assert [kind for _, kind in server.times] == ["accept", "close"]
        assert start + 23 <= server.ended_at <= start + 24


@pytest.mark.parametrize("deadline", ["idle_timeout", "max_lifetime"])
@in_virtual_time
async def test_o13_o14_the_server_does_not_take_the_close(deadline: str) -> None:
    got: list[Any] = []
    server = await serve(listening(got), server=Blocked(), **{deadline: 8})
    closed_at = server.times[-1][0]
    assert closed_at <= 10
    disconnect, received_at, raised, cancelled_at = got
    assert disconnect["code"] == 1001
    assert received_at <= closed_at + 5
    assert raised is ClientDisconnected
    assert cancelled_at <= closed_at + 15
    assert server.error is None


@in_virtual_time
async def test_o15_one_send_is_stuck(log: Log) -> None:
    raised: list[float] = []
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            got.append(await disconnected(receive))

        await receive()
        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.sleep(4)
            for _ in range(3):
                try:
                    await send(TEXT)
                except ClientDisconnected:
                    raised.append(anyio.current_time())
        while True:
            await receive()

    server = await serve(app, (2, stops_reading), send_timeout=3)
    assert server.client.close_code == 1008
    assert [kind for _, kind in server.times] == ["accept", "send", "close"]
    closed_at = server.times[-1][0]
    assert 7 <= closed_at <= 7.5
    assert raised == [closed_at] * 3
    assert (got[0]["type"], got[0]["code"]) == (DISCONNECT, 1008)
    assert server.ended_at == closed_at + 10
    assert server.error is None
    assert log.line().startswith("WARNING [wsguard-O16] '/ws': The app was still using the connection 10 s after ")
    assert "Before that, a send() of the app was stuck for 3 s because the client does not read. " in log.line()


@pytest.mark.parametrize("data", [TEXT, {"type": "websocket.send", "bytes": bytearray(b"1")}])
@in_virtual_time
async def test_e6_o15_a_send_beside_a_close(data: Any) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def attempt(message: Any) -> None:
            with contextlib.suppress(ClientDisconnected):
                await send(message)

        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            group.start_soon(attempt, data)
            group.start_soon(attempt, CLOSE)

    for _ in range(10):
        server = await serve(app, send_timeout=3)
        assert server.client.close_code == 1000


@pytest.mark.parametrize("data", [TEXT, {"type": "websocket.send", "bytes": bytearray(b"1")}])
@in_virtual_time
async def test_o15_several_sends_are_stuck(data: Any) -> None:
    raised: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def push(when: float) -> None:
            await anyio.sleep_until(when)
            try:
                await send(data)
            except ClientDisconnected:
                raised.append(anyio.current_time())

        await send(ACCEPT)
        async with anyio.create_task_group() as group:
            for when in (4, 4, 5, 6, 6.5):
                group.start_soon(push, when)

    server = await serve(app, (2, stops_reading), send_timeout=3)
    assert server.client.close_code == 1008
    assert 7 <= server.ended_at <= 7.5
    assert raised == [server.ended_at] * 5
    assert server.error is None


@in_virtual_time
async def test_o15_several_sends_are_over_in_time() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(3)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(send, TEXT)
        await anyio.sleep(10)

    server = await serve(app, (2, stops_reading), (5, reads), send_timeout=3)
    assert server.client == Client(accepted=True, messages=["hi"] * 3, close_code=1000)


@in_virtual_time
async def test_o15_one_send_is_stuck_beside_others() -> None:
    """Whichever of them was first."""

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if "bytes" in message:
                await anyio.sleep_forever()
            await anyio.sleep(1)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def push(when: float) -> None:
            await anyio.sleep_until(when)
            with contextlib.suppress(ClientDisconnected):
                await send({"type": "websocket.send", "bytes": b"stuck"})

        async with anyio.create_task_group() as group:
            await send(ACCEPT)
            group.start_soon(push, anyio.current_time() + 0.5)
            with contextlib.suppress(ClientDisconnected):
                while True:
                    await send(TEXT)
            group.cancel_scope.cancel()

    server = await serve(app, server=Slow(), send_timeout=4)
    assert server.client.close_code == 1008
    assert 5 <= server.ended_at <= 7


@in_virtual_time
async def test_o15_a_client_that_reads_slowly() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        for _ in range(10):
            await send(TEXT)
            await anyio.sleep(1)

    events: list[Event] = []
    for second in range(0, 30, 3):
        events += [(second + 0.25, stops_reading), (second + 2.5, reads)]
    server = await serve(app, *events, send_timeout=3)
    assert server.client == Client(accepted=True, messages=["hi"] * 10, close_code=1000)


@in_virtual_time
async def test_o15_an_app_that_gives_up_before() -> None:
    """No send is stuck for long; and a limit of the app's own that ends later still works."""
    given_up: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(1)
        for limit in (1, 2, 1, 2, 30):
            with anyio.move_on_after(limit) as scope:
                await send(TEXT)
            if scope.cancel_called:
                given_up.append(anyio.current_time())

    server = await serve(app, (0, stops_reading), (9, reads), send_timeout=3)
    assert given_up == [2, 4, 5, 7]
    assert server.client.close_code == 1000


@by_scope_and_by_task
@pytest.mark.parametrize("when", [5, 7])
@in_virtual_time
async def test_o15_cancelled_while_a_send_is_stuck(own_task: bool, when: float) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(4)
        await send(TEXT)

    server = await serve(app, (2, stops_reading), (when, stops), own_task=own_task, send_timeout=3)
    assert server.ended_at == when
    assert server.error is None
    if when == 5:
        assert server.cancelled
        assert server.client.close_code == 1012


@in_virtual_time
async def test_o15_the_close_is_stuck_too() -> None:
    raised: list[float] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(4)
        try:
            await send(TEXT)
        except ClientDisconnected:
            raised.append(anyio.current_time())
            raise

    server = await serve(app, (2, stops_reading), server=Blocked(), send_timeout=3)
    assert [kind for _, kind in server.times] == ["accept", "send", "close"]
    assert 7 <= raised[0] <= 12.5
    assert server.ended_at <= 12.5
    assert server.error is None


@in_virtual_time
async def test_o13_o14_o15_off() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        await send(TEXT)

    server = await serve(app, (1, stops_reading), (1500, sends("hi")), (3000, reads))
    assert server.client == Client(accepted=True, messages=["hi"], close_code=1000)
    assert server.ended_at == 3000


# E9


@on_each_server
@in_virtual_time
async def test_e9_too_many_connections(log: Log, denial_extension: bool) -> None:
    """The next one has a place as soon as one ends, however it ends."""
    calls: list[str] = []
    servers: dict[str, Timed] = {}

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        kind = scope["state"]["kind"]
        calls.append(kind)
        await receive()
        if kind == "never answers":
            await anyio.sleep_forever()
        await send(ACCEPT)
        await anyio.sleep(2)
        if kind == "raises":
            raise AppError
        if kind == "interrupts":
            raise BaseException("app")
        await disconnected(receive)

    guarded = WebSocketGuardMiddleware(app, max_connections=2, handshake_timeout=2)

    async def connect(kind: str) -> None:
        server = servers[kind] = Timed(denial_extension=denial_extension)
        server.scope["state"]["kind"] = kind
        with contextlib.suppress(BaseException if kind == "interrupts" else AppError):
            await server.serve(guarded)

    async with anyio.create_task_group() as group:
        group.start_soon(connect, "stays")
        for kind in ("leaves", "raises", "interrupts", "cancelled", "never answers", "last"):
            await anyio.sleep(1)
            group.start_soon(connect, kind)
            await anyio.sleep(1)
            too_many = f"too many beside the one that {kind}"
            group.start_soon(connect, too_many)
            await anyio.sleep(0.5)
            assert servers[too_many].ended_at == anyio.current_time() - 0.5
            if kind == "leaves":
                servers[kind].client_leaves()
            if kind == "cancelled":
                servers[kind].stops()
            if kind != "last":
                await anyio.sleep(1)
                assert not math.isnan(servers[kind].ended_at), kind
        for kind in ("stays", "last"):
            servers[kind].client_leaves()

    assert calls == [kind for kind in servers if not kind.startswith("too many")]
    for kind, server in servers.items():
        assert server.violations == []
        if kind not in calls:
            assert server.error is None
            denial = server.client.denial
            if denial_extension:
                assert denial is not None
                assert (denial.status, denial.complete) == (503, True)
                assert "retry-after" in [name.decode().lower() for name, _ in denial.headers]
            else:
                assert denial == FORBIDDEN
    assert sum(line.startswith("WARNING [wsguard-E9] '/ws': ") for line in log.lines()) == 6


@in_virtual_time
async def test_e9_other_scopes_do_not_count() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await anyio.sleep(1)

    guarded = WebSocketGuardMiddleware(app, max_connections=1)
    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(guarded, {"type": "http"}, None, None)
        await anyio.sleep(0.5)
        server = Timed()
        await server.serve(guarded)
        assert server.client.denial is not None
        assert server.client.denial.status == 500


# The options


@pytest.mark.parametrize("name", TIMEOUTS)
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (0.0, ValueError),
        (-1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (True, TypeError),
        (False, TypeError),
        ("5", TypeError),
    ],
)
def test_a_wrong_timeout(name: str, value: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        WebSocketGuardMiddleware(app_that(then=anyio.sleep_forever), **{name: value})
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (True, TypeError), (1.0, TypeError), (math.nan, TypeError), ("5", TypeError)],
)
def test_a_wrong_number_of_connections(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        WebSocketGuardMiddleware(app_that(then=anyio.sleep_forever), max_connections=value)
    assert "max_connections" in str(caught.value)
    assert repr(value) in str(caught.value)
