"""The contract clause by clause, in memory; a test is named by its clause."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import sys
from collections.abc import Awaitable, Callable, Iterator
from types import coroutine as types_coroutine
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from app_messages import MESSAGES

from asgi_wsguard import ClientDisconnected, DenialResponse, ProtocolViolation, WebSocketGuardMiddleware
from asgi_wsguard.testing import Client, Denial, StrictServer

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

pytestmark = pytest.mark.anyio
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
on_each_server = pytest.mark.parametrize("denial_extension", [True, False], ids=["denial", "no denial"])

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "hi"}
CLOSE = {"type": "websocket.close"}
START = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-app", b"1")]}
BODY = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}
LAST_BODY = {"type": "websocket.http.response.body", "body": b"no"}

FORBIDDEN = Denial(403, complete=True)
TEXT_PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]
CRASHED = Denial(500, TEXT_PLAIN, b"Internal Server Error", complete=True)
STOPPING = Denial(503, TEXT_PLAIN, b"Service Unavailable", complete=True)


class AppError(Exception):
    pass


class Result:
    def __init__(self, server: StrictServer, error: BaseException | None) -> None:
        self.server = server
        self.client = server.client
        self.error = error
        assert server.violations == []


async def serve(app: Any, server: StrictServer | None = None, **options: Any) -> Result:
    """Serve the guarded app, and return what the client got and what came out of the guard."""
    server = server or StrictServer("/ws")
    error: BaseException | None = None
    try:
        await server.run(WebSocketGuardMiddleware(app, **options))
    except BaseException as exc:
        error = exc
    return Result(server, error)


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
    """Return an app that sends the messages and waits for ever."""

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(*messages)(scope, receive, send)
        await anyio.sleep_forever()

    return app


async def cancelled(app: Any, server: StrictServer) -> None:
    """Serve the guarded app, and cancel the scope around it when it waits."""
    seen: list[BaseException] = []

    async def remembering(scope: Any, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BaseException as exc:
            seen.append(exc)
            raise

    async def serving() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            try:
                await server.run(WebSocketGuardMiddleware(remembering))
            except BaseException as exc:
                seen.append(exc)
                raise
        assert scope.cancel_called

    scopes: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as group:
        group.start_soon(serving)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
    assert isinstance(seen[0], anyio.get_cancelled_exc_class())
    assert seen[1] is seen[0]
    assert server.violations == []


async def natively_cancelled(app: Any, server: StrictServer, times: int = 1) -> asyncio.Task[None]:
    """Serve the guarded app, and cancel its task when it waits, as servers do."""
    task = asyncio.get_running_loop().create_task(server.run(WebSocketGuardMiddleware(app)))
    await anyio.wait_all_tasks_blocked()
    for _ in range(times):
        task.cancel()
        await anyio.wait_all_tasks_blocked()
    await asyncio.wait([task])
    assert server.violations == []
    return task


class Log:
    """The guard's own lines."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self, level: int = logging.INFO) -> list[str]:
        records = [record for record in self._caplog.records if record.name == "asgi_wsguard"]
        return [f"{record.levelname} {record.getMessage()}" for record in records if record.levelno >= level]

    def line(self) -> str:
        (line,) = self.lines()
        return line


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG, "asgi_wsguard"):
        yield Log(caplog)


# Before the handshake is answered


@on_each_server
async def test_h1_returns_without_an_answer(log: Log, denial_extension: bool) -> None:
    result = await serve(sending(), StrictServer("/ws", denial_extension=denial_extension))
    assert result.client == Client(denial=CRASHED if denial_extension else FORBIDDEN)
    assert result.error is None
    assert log.line().startswith("ERROR [wsguard-H1] '/ws': ")
    assert log.lines(logging.DEBUG) == log.lines()


@on_each_server
async def test_h2_raises_before_an_answer(log: Log, denial_extension: bool) -> None:
    error = AppError("secret")
    result = await serve(sending(raises=error), StrictServer("/ws", denial_extension=denial_extension))
    assert result.client == Client(denial=CRASHED if denial_extension else FORBIDDEN)
    assert result.error is error
    assert error.__context__ is None
    assert log.line().startswith("ERROR [wsguard-H2] '/ws': ")
    assert "AppError" in log.line()
    assert "secret" not in repr(result.server.sent)


async def test_h2_raises_a_group() -> None:
    error = ExceptionGroup("several", [AppError("secret"), ClientDisconnected("not so")])
    result = await serve(sending(raises=error))
    assert result.client == Client(denial=CRASHED)
    assert result.error is error


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, BaseException])
async def test_h2_any_base_exception(kind: type[BaseException]) -> None:
    error = kind("secret")
    for messages, client in (
        ([], Client(denial=CRASHED)),
        ([ACCEPT], Client(accepted=True, close_code=1011)),
    ):
        result = await serve(sending(*messages, raises=error))
        assert result.client == client
        assert result.error is error


@pytest.mark.parametrize(
    ("response", "denial"),
    [
        (
            DenialResponse(503, "later", {"retry-after": "5"}),
            Denial(503, [*TEXT_PLAIN, (b"retry-after", b"5")], b"later"),
        ),
        (DenialResponse(500, {"error": 1}), Denial(500, [(b"content-type", b"application/json")], b'{"error": 1}')),
        (DenialResponse(204, ""), Denial(204)),
    ],
)
async def test_h1_h2_the_response_can_be_set(response: DenialResponse, denial: Denial) -> None:
    denial.complete = True
    assert (await serve(sending(), denial=response)).client == Client(denial=denial)
    assert (await serve(sending(raises=AppError()), denial=response)).client == Client(denial=denial)


async def test_h1_h2_left_to_the_crash_path_of_a_server_without_the_extension(log: Log) -> None:
    result = await serve(sending(), StrictServer("/ws", denial_extension=False), without_extension="raise")
    assert result.client == Client()
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "H1"

    error = AppError()
    result = await serve(sending(raises=error), StrictServer("/ws", denial_extension=False), without_extension="raise")
    assert result.client == Client()
    assert result.error is error
    assert [line[:28] for line in log.lines()] == ["ERROR [wsguard-H1] '/ws': th", "ERROR [wsguard-H2] '/ws': th"]

    result = await serve(sending(), without_extension="raise")  # a server that has it
    assert result.client == Client(denial=CRASHED)


@on_each_server
async def test_h3_cancelled_before_an_answer(log: Log, denial_extension: bool) -> None:
    server = StrictServer("/ws", denial_extension=denial_extension)
    await cancelled(waiting(), server)
    assert server.client == Client(denial=STOPPING if denial_extension else FORBIDDEN)
    assert log.lines() == []
    assert log.lines(logging.DEBUG)[0].startswith("DEBUG [wsguard-H3] '/ws': ")


@on_asyncio
async def test_h3_o3_cancelled_by_task_cancel() -> None:
    for messages, client in (
        ([], Client(denial=STOPPING)),
        ([ACCEPT], Client(accepted=True, close_code=1012)),
    ):
        server = StrictServer("/ws", send_checkpoints=1)
        task = await natively_cancelled(waiting(*messages), server)
        assert task.cancelled()
        assert server.client == client


@on_each_server
@pytest.mark.parametrize("repeat_disconnect", [True, False])
async def test_h5_closes_before_accept(log: Log, denial_extension: bool, repeat_disconnect: bool) -> None:
    close = {"type": "websocket.close", "code": 4003, "reason": "no"}
    received: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(close)
        received.append(await receive())

    server = StrictServer("/ws", denial_extension=denial_extension, repeat_disconnect=repeat_disconnect)
    result = await serve(app, server)
    assert result.client == Client(denial=FORBIDDEN)
    assert result.server.sent == [close]
    assert result.error is None
    assert [message["type"] for message in received] == ["websocket.disconnect"]
    assert log.lines() == []


async def test_h6_the_apps_denial(log: Log) -> None:
    sent: list[int] = []
    server = StrictServer("/ws")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for message in (START, BODY, LAST_BODY):
            await send(message)
            sent.append(len(server.sent))

    result = await serve(app, server)
    assert sent == [0, 2, 3]  # the start is held until the first body
    assert result.client == Client(denial=Denial(401, [(b"x-app", b"1")], b"nono", complete=True))
    assert result.error is None
    assert log.lines() == []


@pytest.mark.parametrize("raises", [None, AppError("secret")])
async def test_h7_denial_without_a_body(log: Log, raises: AppError | None) -> None:
    headers = [(b"Content-Length", b"2"), (b"x-app", b"1")]
    result = await serve(sending({**START, "headers": headers}, raises=raises))
    assert result.client == Client(denial=Denial(401, [(b"x-app", b"1")], complete=True))
    assert result.error is raises
    assert log.line().startswith("ERROR [wsguard-H7] '/ws': ")


async def test_h7_without_the_extension() -> None:
    result = await serve(sending(START), StrictServer("/ws", denial_extension=False))
    assert result.client == Client(denial=FORBIDDEN)


async def test_h8_stops_inside_the_body(log: Log) -> None:
    for raises in (None, AppError("secret")):
        result = await serve(sending(START, BODY, raises=raises))
        assert result.client.denial == Denial(401, [(b"x-app", b"1")], b"no", complete=raises is None)
        assert result.error is raises
    assert [line[:26] for line in log.lines()] == ["ERROR [wsguard-H8] '/ws': "] * 2


async def test_h8_cancelled_inside_the_body() -> None:
    server = StrictServer("/ws")
    await cancelled(waiting(START, BODY), server)
    assert server.client.denial == Denial(401, [(b"x-app", b"1")], b"no")


@pytest.mark.parametrize("body", [BODY, LAST_BODY])
async def test_h3_h7_cancelled_between_the_start_and_its_body(body: Any) -> None:
    """The server has the start; without a body the client would get nothing."""

    class Slow(StrictServer):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == "websocket.http.response.start":
                await anyio.sleep_forever()

    server = Slow("/ws")
    await cancelled(waiting(START, body), server)
    assert server.client.answered
    assert server.client.denial is not None
    assert server.client.denial.status == 401


@pytest.mark.parametrize("bodies", [(LAST_BODY,), (BODY, LAST_BODY)])
async def test_h9_denial_where_the_server_cannot(log: Log, bodies: Any) -> None:
    result = await serve(sending(START, *bodies), StrictServer("/ws", denial_extension=False))
    assert result.client == Client(denial=FORBIDDEN)
    assert result.error is None
    assert log.line().startswith("WARNING [wsguard-H9] '/ws': ")


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ((), TEXT),
        ((), BODY),
        ((), LAST_BODY),
        ((), {"type": "websocket.nonsense"}),
        ((), {"type": []}),
        ((), {}),
        ((), None),
        ((), "websocket.accept"),
        ((), {**START, "status": "401"}),
        ((), {**START, "status": 101}),
        ((), {**START, "headers": [("a", "b")]}),
        ((START,), ACCEPT),
        ((START,), CLOSE),
        ((START,), START),
        ((START,), TEXT),
        ((START,), {**BODY, "body": "no"}),
        ((START, BODY), START),
        ((START, BODY), ACCEPT),
    ],
)
async def test_h10_out_of_order(log: Log, before: Any, message: Any) -> None:
    caught: list[BaseException] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        for earlier in before:
            await send(earlier)
        try:
            await send(message)
        except BaseException as exc:
            caught.append(exc)
            raise

    result = await serve(app)
    (error,) = caught
    assert isinstance(error, ProtocolViolation)
    assert error.clause == "H10"
    assert str(error).startswith("[H10] ")
    assert result.error is error
    assert result.client.answered
    assert len(log.lines()) == 1
    assert before or result.client == Client(denial=CRASHED)


@pytest.mark.parametrize(
    "headers",
    [
        [("x-app", "1")],
        [(b"x-app", "1")],
        [(b"x-app", None)],
        [(b"x-app", b"1\r\nx-more: 1")],
        [(b"x-app\n", b"1")],
        [(b"x-app", b"1\0")],
        [(b"", b"1")],
        [(b":status", b"200")],
        [(b"Sec-WebSocket-Protocol", b"chat")],
        [b"x-app"],
        [(b"x-app", b"1", b"2")],
        1,
    ],
)
async def test_h11_headers_that_cannot_be_sent(headers: Any) -> None:
    result = await serve(sending({**ACCEPT, "headers": headers}))
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "H11"
    assert result.client == Client(denial=CRASHED)


async def test_h11_headers_that_can_be_read_only_once() -> None:
    for headers in (iter([(b"x-app", b"1")]), ([name, b"1"] for name in [b"x-app"]), [[b"x-app", b"1"]]):
        result = await serve(sending({**ACCEPT, "headers": headers}))
        assert result.client == Client(accepted=True, headers=[(b"x-app", b"1")], close_code=1000)


async def test_h13_a_task_that_outlives_the_app() -> None:
    late: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        late.append((receive, send))

    result = await serve(app)
    sent = list(result.server.sent)
    ((_, send),) = late
    for message in (ACCEPT, TEXT, START, BODY):
        with pytest.raises(ClientDisconnected):
            await send(message)
    await send(CLOSE)
    assert result.server.sent == sent
    assert result.server.violations == []


@pytest.mark.parametrize("body", [BODY, LAST_BODY])
@pytest.mark.parametrize("raises", [None, AppError("app")])
async def test_h13_the_app_ends_between_a_late_tasks_start_and_its_body(body: Any, raises: AppError | None) -> None:
    server = StrictServer("/ws", send_checkpoints=5)

    async with anyio.create_task_group() as group:

        async def deny(send: Send) -> None:
            await send(START)
            await send(body)

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            group.start_soon(deny, send)
            while not server.sent:
                await anyio.lowlevel.checkpoint()
            if raises is not None:
                raise raises

        result = await serve(app, server)
    assert server.violations == []
    assert result.error is raises
    assert result.client.denial is not None


async def test_h13_a_late_tasks_start_outlasts_the_close_timeout() -> None:
    class Blocked(StrictServer):
        async def send(self, message: Any) -> None:
            await super().send(message)
            await released.wait()

    released = anyio.Event()
    server = Blocked("/ws")
    raised: list[BaseException] = []

    async with anyio.create_task_group() as group:

        async def deny(send: Send) -> None:
            await send(START)
            try:
                await send(LAST_BODY)
            except ClientDisconnected as exc:
                raised.append(exc)

        async def app(scope: Any, receive: Receive, send: Send) -> None:
            group.start_soon(deny, send)
            while not server.sent:
                await anyio.lowlevel.checkpoint()

        await serve(app, server, close_timeout=0.01)
        released.set()
    assert server.violations == []
    assert len(raised) == 1


async def test_h13_coroutines_made_early_and_awaited_late() -> None:
    """The state is looked at when the message is sent, not when the coroutine is made."""
    late: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        early = send(TEXT)
        late.append(send(TEXT))
        await send(CLOSE)
        with pytest.raises(ClientDisconnected):
            await early

    result = await serve(app)
    with pytest.raises(ClientDisconnected):
        await late[0]
    assert result.client == Client(accepted=True, close_code=1000)
    assert result.server.violations == []
    assert result.error is None


@pytest.mark.parametrize("subprotocol", ["other", "", "Chat"])
async def test_h14_a_subprotocol_that_was_not_offered(log: Log, subprotocol: str) -> None:
    app = sending({**ACCEPT, "subprotocol": subprotocol})
    result = await serve(app, StrictServer("/ws", subprotocols=["chat"]))
    assert result.client == Client(accepted=True, close_code=1000)
    assert result.error is None
    assert log.line().startswith("WARNING [wsguard-H14] '/ws': ")

    result = await serve(app, StrictServer("/ws", subprotocols=["chat"]), strict=True)
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "H14"
    assert result.client == Client(denial=CRASHED)


async def test_h14_a_subprotocol_that_was_offered(log: Log) -> None:
    app = sending({**ACCEPT, "subprotocol": "chat"})
    result = await serve(app, StrictServer("/ws", subprotocols=["other", "chat"]), strict=True)
    assert result.client == Client(accepted=True, subprotocol="chat", close_code=1000)
    assert log.lines() == []


# While the connection is open


async def test_o1_returns(log: Log) -> None:
    result = await serve(sending(ACCEPT, TEXT))
    assert result.client == Client(accepted=True, messages=["hi"], close_code=1000)
    assert result.error is None
    assert log.lines() == []
    assert log.lines(logging.DEBUG)[0].startswith("DEBUG [wsguard-O1] '/ws': ")


@pytest.mark.parametrize(
    "error", [AppError("secret"), ExceptionGroup("secret", [AppError("secret")]), OSError("secret")]
)
async def test_o2_raises(log: Log, error: Exception) -> None:
    result = await serve(sending(ACCEPT, raises=error))
    assert result.client == Client(accepted=True, close_code=1011)
    assert result.error is error
    assert "secret" not in repr(result.server.sent)
    assert log.line().startswith("ERROR [wsguard-O2] '/ws': ")


async def test_o3_cancelled(log: Log) -> None:
    server = StrictServer("/ws")
    await cancelled(waiting(ACCEPT), server)
    assert server.client == Client(accepted=True, close_code=1012)
    assert log.lines() == []


@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": None, "reason": None}, 1000, ""),
        *(({"code": code}, code, "") for code in (1000, 1003, 1007, 1014, 3000, 4999)),
        ({"code": 4001, "reason": "é" * 61}, 4001, "é" * 61),
    ],
)
async def test_o4_closes(log: Log, close: Any, code: int, reason: str) -> None:
    result = await serve(sending(ACCEPT, {**CLOSE, **close}), strict=True)
    assert result.client == Client(accepted=True, close_code=code, close_reason=reason)
    assert log.lines() == []


@pytest.mark.parametrize(
    ("close", "code", "reason"),
    [
        ({"code": 1004}, 1011, ""),
        ({"code": 1005}, 1000, ""),
        ({"code": 1006, "reason": "gone"}, 1011, "gone"),
        ({"code": 1015}, 1011, ""),
        ({"reason": "é" * 62}, 1000, "é" * 61),
        ({"code": 3000, "reason": "x" * 122 + "€"}, 3000, "x" * 122),
        ({"reason": "a\ud800b"}, 1000, "ab"),
    ],
)
async def test_o4_a_close_that_is_repaired(log: Log, close: Any, code: int, reason: str) -> None:
    app = sending(ACCEPT, {**CLOSE, **close})
    result = await serve(app)
    assert result.client == Client(accepted=True, close_code=code, close_reason=reason)
    assert result.error is None
    assert log.line().startswith("WARNING [wsguard-O4] '/ws': ")

    result = await serve(app, strict=True)
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "O4"
    assert result.client == Client(accepted=True, close_code=1011)


@pytest.mark.parametrize(
    "close",
    [*({"code": code} for code in (0, -1, 999, 1016, 2999, 5000, 99999, "1000", 1000.0, True)), {"reason": b"bye"}],
)
async def test_o4_a_close_that_is_refused(close: Any) -> None:
    result = await serve(sending(ACCEPT, {**CLOSE, **close}))
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "O4"
    assert result.client == Client(accepted=True, close_code=1011)


@pytest.mark.parametrize("first", [(CLOSE,), (ACCEPT, CLOSE), (START, LAST_BODY)])
async def test_o5_closes_again(log: Log, first: Any) -> None:
    result = await serve(sending(*first, CLOSE, {**CLOSE, "code": 1006}), strict=True)
    assert result.client.ended
    assert len(result.server.sent) == len(first)
    assert result.error is None
    assert log.lines() == []


@pytest.mark.parametrize("raise_when_gone", [True, False])
async def test_o5_o7_after_the_client_left(log: Log, raise_when_gone: bool) -> None:
    server = StrictServer("/ws", raise_when_gone=raise_when_gone)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves(1001)
        assert (await receive())["code"] == 1001
        with pytest.raises(ClientDisconnected):
            await send(TEXT)
        await send(CLOSE)

    result = await serve(app, server)
    assert result.client == Client(accepted=True, left=True)
    assert result.server.sent == [ACCEPT]
    assert result.error is None
    assert log.lines() == []


async def test_o7_the_send_that_finds_out() -> None:
    server = StrictServer("/ws")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves(1001)
        for _ in range(2):
            with pytest.raises(ClientDisconnected):
                await send(TEXT)
        await send(CLOSE)

    result = await serve(app, server)
    assert result.server.sent == [ACCEPT, TEXT]
    assert result.error is None


async def test_o6_sends_after_its_own_close() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT, CLOSE)(scope, receive, send)
        for message in (TEXT, {"type": "websocket.send", "bytes": b""}, ACCEPT, START):
            with pytest.raises(ClientDisconnected):
                await send(message)

    result = await serve(app)
    assert result.client == Client(accepted=True, close_code=1000)
    assert result.error is None


@pytest.mark.parametrize("repeat_disconnect", [True, False])
async def test_o8_receives_after_the_end(repeat_disconnect: bool) -> None:
    server = StrictServer("/ws", repeat_disconnect=repeat_disconnect)
    disconnects: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves(1001, "away")
        while True:
            disconnects.append(await receive())

    result = await serve(app, server)
    assert disconnects == [{"type": "websocket.disconnect", "code": 1001, "reason": "away"}] * 100
    assert result.error is None


@pytest.mark.parametrize(
    "data",
    [{}, {"text": None, "bytes": None}, {"text": "", "bytes": b""}, {"text": b"1"}, {"bytes": "1"}, {"text": 1}],
)
async def test_o9_wrong_data(data: Any) -> None:
    result = await serve(sending(ACCEPT, {"type": "websocket.send", **data}))
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "O9"
    assert result.client == Client(accepted=True, close_code=1011)


async def test_o9_right_data() -> None:
    data = [{"text": ""}, {"bytes": b""}, {"text": "1", "bytes": None}, {"bytes": b"1", "text": None}]
    data += [{"bytes": bytearray(b"2")}, {"bytes": memoryview(b"3")}]
    result = await serve(sending(ACCEPT, *({"type": "websocket.send", **each} for each in data)))
    assert result.client == Client(accepted=True, messages=["", b"", "1", b"1", b"2", b"3"], close_code=1000)


@pytest.mark.parametrize("message", [ACCEPT, START, BODY, {"type": "websocket.nonsense"}, None])
async def test_o10_answers_twice(message: Any) -> None:
    result = await serve(sending(ACCEPT, message))
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == ("O10" if message in (ACCEPT, START, BODY) else "H10")
    assert result.client == Client(accepted=True, close_code=1011)


DAPHNE = {"refused_codes": range(1001, 3000), "denial_extension": False}


async def test_o11_the_guards_close_is_refused(log: Log) -> None:
    error = AppError()
    result = await serve(sending(ACCEPT, raises=error), StrictServer("/ws", **DAPHNE))  # type: ignore[arg-type]
    assert result.client == Client(accepted=True)
    assert result.error is error  # by which it gets to the server's crash path
    assert log.line().startswith("ERROR [wsguard-O2] '/ws': ")


async def test_o11_the_close_for_a_cancelled_app_is_refused() -> None:
    server = StrictServer("/ws", **DAPHNE)  # type: ignore[arg-type]
    result: list[Result] = []

    async def serving() -> None:
        with anyio.CancelScope() as scope:
            scopes.append(scope)
            result.append(await serve(waiting(ACCEPT), server))

    scopes: list[anyio.CancelScope] = []
    async with anyio.create_task_group() as group:
        group.start_soon(serving)
        await anyio.wait_all_tasks_blocked()
        scopes[0].cancel()
    assert isinstance(result[0].error, ValueError)


async def test_o11_the_apps_close_is_refused() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        with pytest.raises(ValueError, match="1001"):
            await send({**CLOSE, "code": 1001})
        await send(TEXT)

    result = await serve(app, StrictServer("/ws", **DAPHNE))  # type: ignore[arg-type]
    assert result.client == Client(accepted=True, messages=["hi"], close_code=1000)
    assert result.error is None


class Refusing(StrictServer):
    """Refuses the first message of a type, as a server does that finds something wrong with it."""

    def __init__(self, refuses: str, error: BaseException) -> None:
        super().__init__("/ws")
        self.refuses = [refuses]
        self.error = error

    async def send(self, message: Any) -> None:
        if message["type"] in self.refuses:
            self.refuses = []
            raise self.error
        await super().send(message)


@pytest.mark.parametrize("refused", [ACCEPT, START, TEXT, CLOSE])
async def test_o11_what_the_server_refuses_has_not_been_sent(refused: Any) -> None:
    error = RuntimeError("refused")
    server = Refusing(refused["type"], error)
    result = await serve(sending(*([START, LAST_BODY] if refused is START else [ACCEPT, TEXT, CLOSE])), server)
    assert result.error is error
    assert result.client.ended


async def test_o11_a_body_that_the_server_refuses() -> None:
    """The response has begun: what is left is the server's crash path."""
    error = RuntimeError("refused")
    result = await serve(sending(START, LAST_BODY), Refusing(LAST_BODY["type"], error))
    assert result.error is error


async def test_o11_a_body_refused_twice() -> None:
    """The start is out, whatever becomes of the bodies: no other answer may follow."""

    class Picky(StrictServer):
        async def send(self, message: Any) -> None:
            if message.get("body"):
                raise ValueError("refused")
            await super().send(message)

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(START)
        for body in (BODY, BODY, LAST_BODY):
            with pytest.raises(ValueError, match="refused"):
                await send(body)
        with pytest.raises(ProtocolViolation):
            await send(ACCEPT)

    result = await serve(app, Picky("/ws"))
    assert result.error is None
    assert result.client.denial == Denial(401, [(b"x-app", b"1")], complete=True)


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
    assert [line[:18] for line in log.lines()] == (["ERROR [wsguard-O2]"] if other else [])


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
    assert log.line().endswith("; the server did not take the answer in time (E4); the rest is left to it")

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


async def test_e8_one_connection_inside_another() -> None:
    """A guarded app that serves another websocket, as a test client inside it does, guards both."""
    inner: list[Result] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        inner.append(await serve(sending()))

    result = await serve(app)
    assert inner[0].client == result.client == Client(denial=CRASHED)


# The middleware


async def test_an_app_that_works_is_left_alone(log: Log) -> None:
    server = StrictServer("/ws", subprotocols=["chat"])
    server.client_sends("1")
    server.client_sends(b"2")
    messages = [MESSAGES["accept"], TEXT, MESSAGES["close"]]
    received: list[Any] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        received.append(await receive())
        await send(messages[0])
        received.append(await receive())
        received.append(await receive())
        await send(messages[1])
        await send(messages[2])

    await server.run(WebSocketGuardMiddleware(app, strict=True))
    assert server.sent == messages
    assert received == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "1"},
        {"type": "websocket.receive", "bytes": b"2"},
    ]
    assert log.lines() == []


async def test_called_by_name() -> None:
    server = StrictServer("/ws")
    await WebSocketGuardMiddleware(sending())(scope=server.scope, receive=server.receive, send=server.send)
    assert server.client == Client(denial=CRASHED)


async def test_scope_without_the_optional_keys() -> None:
    for missing in (["extensions", "subprotocols", "path", "headers"], []):
        server = StrictServer("/ws", denial_extension=False)
        server.scope["extensions"] = server.scope["subprotocols"] = None
        for key in missing:
            del server.scope[key]
        result = await serve(sending(), server)
        assert result.client == Client(denial=FORBIDDEN)


async def test_double_callable_app() -> None:
    """ASGI 2, as Channels' consumers once were."""

    class Consumer:
        def __init__(self, scope: Any) -> None:
            self.scope = scope

        async def __call__(self, receive: Receive, send: Send) -> None:
            await sending(ACCEPT, TEXT)(self.scope, receive, send)

    def function(scope: Any) -> Any:
        return Consumer(scope)

    for app in (Consumer, function):
        result = await serve(app)
        assert result.client == Client(accepted=True, messages=["hi"], close_code=1000)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"strict": 1}, TypeError),
        ({"strict": None}, TypeError),
        ({"denial": 500}, TypeError),
        ({"denial": {"status": 500}}, TypeError),
        ({"without_extension": None}, TypeError),
        ({"without_extension": "500"}, ValueError),
        ({"close_timeout": "5"}, TypeError),
        ({"close_timeout": True}, TypeError),
        ({"close_timeout": 0}, ValueError),
        ({"close_timeout": -1.5}, ValueError),
        ({"close_timeout": float("inf")}, ValueError),
        ({"close_timeout": float("nan")}, ValueError),
    ],
)
def test_wrong_options(options: dict[str, Any], error: type[Exception], anyio_backend: str) -> None:
    ((name, value),) = options.items()
    with pytest.raises(error) as caught:
        WebSocketGuardMiddleware(sending(), **options)
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"status": "500"}, TypeError),
        ({"status": True}, TypeError),
        ({"status": 199}, ValueError),
        ({"status": 600}, ValueError),
        ({"body": b"bytes"}, TypeError),
        ({"body": float("nan")}, TypeError),
        ({"headers": 5}, TypeError),
        ({"headers": [("a", 1)]}, TypeError),
        ({"headers": {"a": "b\r\n"}}, ValueError),
        ({"headers": {"": "b"}}, ValueError),
        ({"headers": {"Content-Length": "1"}}, ValueError),
        ({"headers": {"connection": "close"}}, ValueError),
        ({"headers": {b"transfer-encoding": b"chunked"}}, ValueError),
    ],
)
def test_wrong_denial_response(options: dict[str, Any], error: type[Exception], anyio_backend: str) -> None:
    ((name, value),) = options.items()
    with pytest.raises(error, match=name) as caught:
        DenialResponse(**options)
    shown = next(iter(value)) if isinstance(value, dict) else value
    assert (shown.decode() if isinstance(shown, bytes) else str(shown)).lower() in str(caught.value).lower()


def test_the_app_must_be_callable(anyio_backend: str) -> None:
    with pytest.raises(TypeError, match="app"):
        WebSocketGuardMiddleware(None)
