"""What an app may do when its connection is over: clauses O5 to O8, H13, O16."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, ConnectionReport, Drainer, WebSocketGuardMiddleware
from asgi_wsguard.connection.outbox import BURST
from asgi_wsguard.options import raises_after_end
from asgi_wsguard.testing import StrictServer
from harness.apps import AppError
from harness.backends import on_asyncio, on_trio
from harness.clock import in_virtual_time
from harness.log import Log
from harness.messages import ACCEPT, CLOSE, DISCONNECT, TEXT, Receive, Send
from harness.serving import serve_on
from harness.timed import Timed, leaves, serve

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup

BINARY = {"type": "websocket.send", "bytes": b"hi"}


# O7: raise or drop


@pytest.mark.parametrize(
    ("version", "option", "raises"),
    [
        ("2.4", "spec", True),
        ("2.5", "spec", True),
        ("2.10", "spec", True),
        ("3.0", "spec", True),
        ("2.3", "spec", False),
        ("2.0", "spec", False),
        ("odd", "spec", False),
        (None, "spec", False),
        ("2.3", "raise", True),
        ("2.4", "drop", False),
    ],
)
@pytest.mark.parametrize("message", [TEXT, BINARY, ACCEPT])
@in_virtual_time
async def test_o7_as_the_servers_version_promises(version: Any, option: str, raises: bool, message: Any) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        server.client_leaves()
        got.append((await receive())["type"])
        got.append((await receive())["type"])
        for _ in range(2):
            try:
                await send(message)
            except ClientDisconnected as exc:
                got.append(exc.path)
            else:
                got.append("dropped")

    server = Timed()
    server.scope["asgi"]["spec_version"] = version
    await serve_on(app, server, send_after_end=option)
    assert got == ["websocket.connect", DISCONNECT, *(["/ws" if raises else "dropped"] * 2)]
    assert server.sent == [ACCEPT]


def test_o7_a_scope_without_a_version() -> None:
    assert not raises_after_end({})
    assert not raises_after_end({"asgi": None})
    assert not raises_after_end({"asgi": {"spec_version": []}})


@in_virtual_time
async def test_o7_strict_raises() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send(CLOSE)
        with pytest.raises(ClientDisconnected):
            await send(TEXT)

    server = Timed()
    server.scope["asgi"]["spec_version"] = "2.3"
    await serve_on(app, server, strict=True)


@pytest.mark.parametrize("option", ["spec", "raise", "drop"])
@in_virtual_time
async def test_o5_o7_the_server_itself_raises(option: str) -> None:
    """An app that ends by that error must not be kept alive, whatever ASGI version the server tells."""
    got: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        server.client_leaves()
        for _ in range(2):
            try:
                await send(TEXT)
                got.append("dropped")
            except ClientDisconnected as exc:
                got.append(type(exc.__cause__).__name__)
        await send(CLOSE)

    server = Timed(raise_when_gone=True)
    server.scope["asgi"]["spec_version"] = "2.3"
    await serve_on(app, server, send_after_end=option)
    assert got == ["dropped", "dropped"] if option == "drop" else ["OSError", "NoneType"]


@in_virtual_time
async def test_o5_a_close_that_the_server_fails_as_the_client_left() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        server.client_leaves()
        await send(CLOSE)
        await anyio.lowlevel.checkpoint()

    server = Timed(raise_when_gone=True)
    await serve_on(app, server)


@pytest.mark.parametrize("send_timeout", [None, 30])
@pytest.mark.parametrize("leaves_first", [True, False])
@in_virtual_time
async def test_o7_a_loop_of_sends_lets_others_run(
    leaves_first: bool, send_timeout: float | None, anyio_backend: str
) -> None:
    """Where the server's send() never waits, it would freeze the process for good."""
    turns = 0

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def count() -> None:
            nonlocal turns
            while True:
                await anyio.lowlevel.checkpoint()
                turns += 1

        await send(ACCEPT)
        await receive()
        if leaves_first:
            await receive()
        async with anyio.create_task_group() as group:
            group.start_soon(count)
            for _ in range(10 * BURST):
                await send(TEXT)
            group.cancel_scope.cancel()

    server = Timed()
    if leaves_first:
        server.client_leaves()
    await serve_on(app, server, send_after_end="drop", send_timeout=send_timeout)
    assert turns >= 8
    if send_timeout is None or anyio_backend == "asyncio":  # on trio, each send with a limit has a task of its own
        assert turns <= 100


@in_virtual_time
async def test_h13_a_task_left_behind_is_not_heard_of(log: Log) -> None:
    """On a server that drops: asyncio would tell of an exception that nobody retrieved."""
    got: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def late() -> None:
            await anyio.sleep(1)
            await send(TEXT)
            got.append("dropped")

        await send(ACCEPT)
        group.start_soon(late)

    server = Timed()
    server.scope["asgi"]["spec_version"] = "2.3"
    async with anyio.create_task_group() as group:
        await serve_on(app, server)
    assert got == ["dropped"]
    assert log.lines() == []


@in_virtual_time
async def test_h13_a_task_left_behind_gets_the_disconnect_once() -> None:
    got: list[str] = []

    async def listen(receive: Receive) -> None:
        while True:
            got.append((await receive())["type"])

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        outside.start_soon(listen, receive)

    async with anyio.create_task_group() as outside:
        await serve_on(app, Timed())
        await anyio.sleep(60)
        outside.cancel_scope.cancel()
    assert got == [DISCONNECT]


@pytest.mark.parametrize(("option", "done"), [("raise", "refused with ClientDisconnected"), ("drop", "discarded")])
@in_virtual_time
async def test_o6_sends_after_its_own_close(log: Log, option: str, done: str) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send(CLOSE)
        for _ in range(3):
            try:
                await send(TEXT)
            except ClientDisconnected:
                assert option == "raise"

    server = await serve_on(app, Timed(), send_after_end=option)
    assert server.client.messages == []
    line = log.line()
    assert line.startswith("WARNING [wsguard-O6] '/ws': The app sent websocket.send after the connection was closed (")
    assert line.endswith(f"). It was {done}.")


# The app's own close


@in_virtual_time
async def test_o8_a_close_that_is_stuck_in_the_server(log: Log) -> None:
    """As in uvicorn's --ws websockets, where the client never answers the close."""
    got: list[float] = []

    class Stuck(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == "websocket.close":
                await anyio.sleep_forever()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep(2)
        await send(CLOSE)
        got.append(anyio.current_time())

    server = await serve_on(app, Stuck())
    assert got == [7]
    assert server.client.close_code == 1000
    assert log.lines() == []
    assert any("the client did not answer in time" in line for line in log.lines(0))


@on_asyncio
@in_virtual_time
async def test_o8_a_task_that_waits_is_not_left_cancelled() -> None:
    """An interrupt that comes twice, by the close and by the app's end, is one cancellation (asyncio since 3.11)."""
    got: list[Any] = []
    tasks: list[asyncio.Task[Any]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            got.append((await receive())["type"])
            task = asyncio.current_task()
            got.append(getattr(task, "cancelling", lambda: 0)())

        await receive()
        await send(ACCEPT)
        tasks.append(asyncio.ensure_future(listen()))
        await asyncio.sleep(1)
        await send(CLOSE)

    await serve_on(app, Timed(repeat_disconnect=False))
    await asyncio.wait(tasks)
    assert got == [DISCONNECT, 0]


@pytest.mark.parametrize("checkpoints", [0, 1])
@in_virtual_time
async def test_a_close_in_a_cancelled_scope_does_what_it_does_bare(checkpoints: int) -> None:
    """Most servers take it without a checkpoint, and hypercorn shields it: an app goes on in its `finally`."""

    async def play(**options: Any) -> list[str]:
        done: list[str] = []

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await send(ACCEPT)
            with anyio.CancelScope() as scope_of_app:
                scope_of_app.cancel()
                await send(CLOSE)
                done.append("and goes on")

        server = Timed(send_checkpoints=checkpoints)
        await server.serve(WebSocketGuardMiddleware(app, **options) if options else app)
        assert server.client.close_code == 1000
        return done

    assert await play(strict=False) == await play()


@in_virtual_time
async def test_o8_an_app_that_polls_without_waiting_is_told() -> None:
    """Most servers give a message that is there without a checkpoint."""
    told: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        while not told:
            await anyio.sleep(1)
            with anyio.move_on_after(0):
                told.append(await receive())

    server = Timed()
    await serve(app, (1.5, leaves), server=server)
    assert [message["type"] for message in told] == [DISCONNECT]
    assert server.ended_at == 2


@on_trio
@in_virtual_time
async def test_o12_what_comes_with_the_guards_cancellation_goes_on() -> None:
    """Trio cancels by exceptions that may stand in a group: without the guard's own, the rest of it is the app's."""
    error = AppError()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        try:
            await anyio.sleep_forever()
        except BaseException as exc:
            raise BaseExceptionGroup("both", [exc, error]) from None

    server = Timed()
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, WebSocketGuardMiddleware(app, exit_timeout=1))
        await anyio.sleep(1)
        server.client_leaves()
    assert isinstance(server.error, ExceptionGroup)
    assert server.error.exceptions == (error,)


# granian, whose receive() is no function of Python's


@in_virtual_time
async def test_the_first_message_is_taken_by_the_apps_own_task() -> None:
    """Otherwise another task gets in between (Litestar's streams)."""
    tasks: list[Any] = []

    class Native:
        async def __call__(self) -> Any:
            tasks.append(anyio.get_current_task().id)
            return await server.receive()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        me = anyio.get_current_task().id
        await receive()
        assert tasks == [me]
        await send(ACCEPT)
        assert (await receive())["text"] == "hi"
        assert tasks[1] != me

    server = Timed()
    server.client_sends("hi")
    await WebSocketGuardMiddleware(app)(server.scope, Native(), server.send)


# O16: counted and listed


class Counting:
    def __init__(self, fails: bool = False) -> None:
        self.changes: list[tuple[str, int]] = []
        self.fails = fails

    def outlive(self, route: str, change: int) -> None:
        self.changes.append((route, change))
        if self.fails:
            raise AppError

    def __call__(self, report: ConnectionReport) -> None: ...


@pytest.mark.parametrize("fails", [True, False])
@in_virtual_time
async def test_o16_an_app_that_outlives_its_client_is_counted_and_listed(fails: bool) -> None:
    listed: list[Any] = []
    counting, drainer = Counting(fails), Drainer()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await receive()
        for _ in range(3):
            listed.append([(one.path, one.outlived) for one in drainer.connections])
            await anyio.sleep(40)

    server = Timed()
    async with anyio.create_task_group() as group:
        group.start_soon(server.run, WebSocketGuardMiddleware(app, observers=[counting], drainer=drainer))
        await anyio.sleep(1)
        listed.append([(one.path, one.outlived) for one in drainer.connections])
        leaves(server)
    assert counting.changes == [("", 1), ("", -1)]
    assert listed == [[("/ws", False)], [], [], [("/ws", True)]]
    assert drainer.connections == ()


@in_virtual_time
async def test_o16_an_app_that_is_cancelled_is_not_counted_if_it_ends() -> None:
    counting = Counting()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await anyio.sleep_forever()

    server = Timed()
    server.client_leaves()
    await serve_on(app, server, observers=[counting])
    assert counting.changes == []


@in_virtual_time
async def test_o16_a_handshake_that_was_never_answered_is_listed() -> None:
    """Its `since` is when the app was called."""
    drainer = Drainer()
    listed: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await receive()
        await anyio.sleep(100)
        listed.extend(drainer.connections)

    server = Timed()
    server.client_leaves()
    await serve_on(app, server, drainer=drainer)
    assert [one.outlived for one in listed] == [True]


@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
@pytest.mark.anyio
async def test_a_base_exception_of_the_servers_harms_nothing_but_the_connection(anyio_backend: str) -> None:
    """As pytest's own, out of a test double; on trio the guard awaits the server in a system task."""

    class Stop(BaseException):
        pass

    class Server(StrictServer):
        async def receive(self) -> dict[str, Any]:
            raise Stop

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        raise AppError

    with pytest.raises((Stop, AppError)):
        await Server().run(WebSocketGuardMiddleware(app))
