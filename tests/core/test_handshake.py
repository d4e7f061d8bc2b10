"""Until the handshake is answered (H1 to H14)."""

from __future__ import annotations

import logging
import sys
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, DenialResponse, ProtocolViolation
from asgi_wsguard.testing import Client, Denial, StrictServer
from harness.apps import AppError, sending, waiting
from harness.backends import on_asyncio, on_each_server
from harness.log import Log
from harness.messages import ACCEPT, BODY, CLOSE, LAST_BODY, START, TEXT, Receive, Send
from harness.serving import CRASHED, FORBIDDEN, STOPPING, TEXT_PLAIN, cancelled, natively_cancelled, serve

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


pytestmark = pytest.mark.anyio


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
    assert [line[:28] for line in log.lines()] == ["ERROR [wsguard-H1] '/ws': Th", "ERROR [wsguard-H2] '/ws': Th"]

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
        [(b"x-app", b"1\x1b[0m")],
        [(b"", b"1")],
        [(b":status", b"200")],
        [(b"x app", b"1")],
        [(b"Sec-WebSocket-Protocol", b"chat")],
        [(b"Connection", b"upgrade")],
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
