"""At the end (E2 to E8)."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sys
from types import coroutine as types_coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, ProtocolViolation, WebSocketGuardMiddleware
from asgi_wsguard.testing import Client, Denial, StrictServer
from harness.apps import AppError, sending, waiting
from harness.backends import on_asyncio, on_each_server
from harness.log import Log
from harness.messages import ACCEPT, BODY, CLOSE, LAST_BODY, START, TEXT, Receive, Send
from harness.serving import CRASHED, Result, serve

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("body", [BODY, LAST_BODY])
async def test_e6_a_body_given_up_twice(body: Any) -> None:
    """An app whose send has a time limit: first the start takes too long, then the body."""

    class Slow(StrictServer):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if len(self.sent) <= 2:
                await anyio.sleep_forever()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(START)
        for _ in range(2):
            with anyio.move_on_after(0):
                await send(body)

    result = await serve(app, Slow("/ws"))
    assert result.error is None
    assert result.client.denial == Denial(401, [(b"x-app", b"1")], b"no", complete=True)


# At the end


async def test_e2_an_app_that_ends_as_the_client_left(log: Log) -> None:
    server = StrictServer("/ws")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves()
        await send(TEXT)

    result = await serve(app, server)
    assert result.error is None
    assert log.lines() == []
    assert log.lines(logging.DEBUG)[0].startswith("DEBUG [wsguard-E2] '/ws': ")


@pytest.mark.parametrize("leaves", [True, False], ids=["left", "own close"])
@pytest.mark.parametrize("other", [None, AppError("secret")])
async def test_e2_a_group(log: Log, leaves: bool, other: Exception | None) -> None:
    server = StrictServer("/ws")
    error: list[BaseException] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        if leaves:
            server.client_leaves()
        else:
            await send(CLOSE)
        try:
            await send(TEXT)
        except ClientDisconnected as exc:
            group = ExceptionGroup("inner", [exc])
            error.append(ExceptionGroup("outer", [group, exc, other] if other else [group, exc]))
            raise error[0] from None

    result = await serve(app, server)
    assert result.error is (error[0] if other else None)
    expected = ["ERROR [wsguard-O2]"] if other else [] if leaves else ["WARNING [wsguard-O6]"]
    assert [line.partition("]")[0] + "]" for line in log.lines()] == expected


async def test_e2_tasks_of_a_task_group() -> None:
    """The group is anyio's own kind, which differs from release to release."""
    server = StrictServer("/ws", send_checkpoints=1)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves()
        async with anyio.create_task_group() as group:
            group.start_soon(send, TEXT)
            group.start_soon(send, TEXT)

    assert (await serve(app, server)).error is None


async def test_e2_the_servers_own_error() -> None:
    """An app may dig out what the server raised; it says the same."""
    server = StrictServer("/ws")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves()
        try:
            await send(TEXT)
        except ClientDisconnected as exc:
            raise exc.__cause__ or AppError("no cause") from None

    assert (await serve(app, server)).error is None


async def test_e2_an_os_error_from_elsewhere(log: Log) -> None:
    server = StrictServer("/ws")
    error = OSError("database")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves()
        await receive()
        raise error

    assert (await serve(app, server)).error is error
    assert len(log.lines()) == 1
    assert (await serve(sending(ACCEPT, raises=ClientDisconnected("not so")))).client.close_code == 1011


@pytest.mark.parametrize("messages", [(), (ACCEPT,)])
@pytest.mark.parametrize("failure", [RuntimeError("server"), OSError("server"), KeyError("text")])
async def test_e3_settling_fails(log: Log, messages: Any, failure: Exception) -> None:
    class Failing(StrictServer):
        async def send(self, message: Any) -> None:
            if message in messages:
                return await super().send(message)
            await anyio.lowlevel.checkpoint()
            raise failure

    error = AppError("app")
    assert (await serve(sending(*messages, raises=error), Failing("/ws"))).error is error
    assert len(log.lines()) == 1
    # With no exception of the app's the server learns of it by its own; an OSError says that nobody is there.
    result = await serve(sending(*messages), Failing("/ws"))
    assert result.error is (None if isinstance(failure, OSError) else failure)


class Blocking(StrictServer):
    """Takes what ends the connection, and then waits: for ever, or until `released`."""

    def __init__(self, released: anyio.Event | None = None) -> None:
        super().__init__("/ws")
        self.released = released or anyio.Event()
        self.blocked = False

    async def send(self, message: Any) -> None:
        if message["type"] != "websocket.accept":
            self.blocked = True
            await self.released.wait()
        await super().send(message)


@pytest.mark.parametrize("messages", [(), (ACCEPT,)])
async def test_e4_settling_is_bounded(log: Log, messages: Any) -> None:
    server = Blocking()
    result = await serve(sending(*messages), server, close_timeout=0.01)
    assert server.blocked
    assert result.error is None
    assert log.line().startswith("WARNING [wsguard-E4] '/ws': " if messages else "ERROR [wsguard-H1] '/ws': ")
    assert log.line().endswith(" The server did not take the answer in time (E4). The rest is left to it.")

    error = AppError()
    assert (await serve(sending(*messages, raises=error), Blocking(), close_timeout=0.01)).error is error


@pytest.mark.parametrize("raises", [None, AppError("app")])
@pytest.mark.parametrize("messages", [(), (ACCEPT,)])
async def test_e4_settling_is_shielded(messages: Any, raises: AppError | None) -> None:
    server = Blocking()
    results: list[Result] = []

    async def serving() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            results.append(await serve(sending(*messages, raises=raises), server))

    scopes: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as group:
        group.start_soon(serving)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert server.blocked
        assert not server.client.ended
        server.released.set()
    assert server.client.ended
    assert raises is None or results[0].error is raises


@on_asyncio
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("raises", [None, AppError("app")])
@pytest.mark.parametrize("messages", [(), (ACCEPT,)])
async def test_e4_settling_is_shielded_from_task_cancel(messages: Any, raises: AppError | None, times: int) -> None:
    server = Blocking()
    app = WebSocketGuardMiddleware(sending(*messages, raises=raises))
    task = asyncio.get_running_loop().create_task(server.run(app))
    await anyio.wait_all_tasks_blocked()
    for _ in range(times):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
    assert not task.done()
    server.released.set()
    await asyncio.wait([task])
    assert server.client.ended
    assert server.violations == []
    if raises is None:
        assert task.cancelled()
    else:
        assert task.exception() is raises


@on_asyncio
async def test_e4_a_second_task_cancel_while_settling() -> None:
    server = Blocking()
    task = asyncio.get_running_loop().create_task(server.run(WebSocketGuardMiddleware(waiting(ACCEPT))))
    await anyio.wait_all_tasks_blocked()
    for _ in range(2):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
    assert server.blocked
    assert not task.done()
    server.released.set()
    await asyncio.wait([task])
    assert task.cancelled()
    assert server.client == Client(accepted=True, close_code=1012)


@on_asyncio
async def test_e4_cancelled_while_settling_fails() -> None:
    class Failing(Blocking):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == "websocket.close":
                raise RuntimeError("server")

    unheard: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: unheard.append(context))
    try:
        server = Failing()
        error = AppError()
        task = loop.create_task(server.run(WebSocketGuardMiddleware(sending(ACCEPT, raises=error))))
        await anyio.wait_all_tasks_blocked()
        task.cancel()
        await anyio.wait_all_tasks_blocked()
        server.released.set()
        await asyncio.wait([task])
        assert task.exception() is error
        gc.collect()
        await anyio.lowlevel.checkpoint()
    finally:
        loop.set_exception_handler(None)
    assert unheard == []


@pytest.mark.parametrize("messages", [(), (ACCEPT,), (START,), (START, BODY)])
async def test_e4_the_coroutine_is_thrown_away(messages: Any) -> None:
    server = StrictServer("/ws")

    @types_coroutine
    def never() -> Any:
        yield

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(*messages)(scope, receive, send)
        await never()

    coroutine = server.run(WebSocketGuardMiddleware(app))
    coroutine.send(None)
    sent = list(server.sent)
    coroutine.close()
    assert server.sent == sent


@pytest.mark.parametrize("kind", ["http", "lifespan", "other"])
async def test_e5_other_scopes(log: Log, kind: str) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.extend([scope, receive, send])

    scope, receive, send = {"type": kind}, object(), object()
    await WebSocketGuardMiddleware(app)(scope, receive, send)  # type: ignore[arg-type]
    assert got[0] is scope
    assert scope == {"type": kind}
    assert got[1] is receive
    assert got[2] is send
    assert log.lines() == []


async def test_e6_tasks_that_close_and_send_at_once() -> None:
    server = StrictServer("/ws", send_checkpoints=2)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        async def attempt(message: Any) -> None:
            try:
                await send(message)
            except (ClientDisconnected, ProtocolViolation):
                raised.append(message)

        raised: list[Any] = []
        async with anyio.create_task_group() as group:
            for message in (ACCEPT, ACCEPT, TEXT, CLOSE, TEXT, CLOSE, START, LAST_BODY):
                group.start_soon(attempt, message)

    result = await serve(app, server)
    assert result.client.ended


@on_each_server
@pytest.mark.parametrize("messages", [(), (ACCEPT,), (START,), (ACCEPT, {**CLOSE, "code": 1006})])
async def test_e8_two_guards(caplog: pytest.LogCaptureFixture, messages: Any, denial_extension: bool) -> None:
    scopes: list[Any] = []
    lines: list[list[str]] = []
    results: list[Result] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await sending(*messages)(scope, receive, send)

    async def copying(scope: Any, receive: Receive, send: Send) -> None:
        """A router between the two guards copies the scope and adds to it."""
        await WebSocketGuardMiddleware(app)({**scope, "root_path": "/api"}, receive, send)

    for guarded in (app, WebSocketGuardMiddleware(app), copying):
        caplog.clear()
        with caplog.at_level(logging.DEBUG, "asgi_wsguard"):
            results.append(await serve(guarded, StrictServer("/ws", denial_extension=denial_extension)))
        lines.append([re.sub(r" \([^)]*:\d+\)", "", line) for line in Log(caplog).lines(logging.DEBUG)])
    one, *two = results
    for result in two:
        assert result.client == one.client
        assert result.server.sent == one.server.sent
        assert result.error is one.error is None
    assert lines[1:] == [lines[0]] * 2
    assert len(lines[0]) <= 1
    assert scopes[0] == {**scopes[1], "root_path": ""}


async def test_e8_two_guards_with_an_app_that_raises() -> None:
    error = AppError()
    result = await serve(WebSocketGuardMiddleware(sending(ACCEPT, raises=error)))
    assert result.error is error
    assert result.client == Client(accepted=True, close_code=1011)


async def test_e8_a_task_that_outlives_one_connection_serves_another() -> None:
    """Such as a test client that was started in there: the guard of the first is not around it any more."""
    over, served = anyio.Event(), anyio.Event()
    later: list[Result] = []

    async def serve_later() -> None:
        await over.wait()
        later.append(await serve(sending()))
        served.set()

    async with anyio.create_task_group() as group:

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            group.start_soon(serve_later)

        await serve(app)
        over.set()
        await served.wait()
    assert later[0].client == Client(denial=CRASHED)


async def test_e8_one_connection_inside_another() -> None:
    """A guarded app that serves another websocket, as a test client inside it does, guards both."""
    inner: list[Result] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        inner.append(await serve(sending()))

    result = await serve(app)
    assert inner[0].client == result.client == Client(denial=CRASHED)
