"""While the connection is open (O1 to O11)."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, ProtocolViolation
from asgi_wsguard.testing import Client, Denial, StrictServer
from harness.apps import AppError, sending, waiting
from harness.log import Log
from harness.messages import ACCEPT, BODY, CLOSE, LAST_BODY, START, TEXT, Receive, Send
from harness.serving import Result, cancelled, serve

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


pytestmark = pytest.mark.anyio


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
        ({"code": 1008, "reason": b"bye"}, 1008, ""),
        ({"code": 1008, "reason": [{"loc": ["query", "token"]}]}, 1008, ""),
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


@pytest.mark.parametrize("code", [0, -1, 999, 1016, 2999, 5000, 99999, "1000", 1000.0, True])
async def test_o4_a_close_that_is_refused(code: Any) -> None:
    result = await serve(sending(ACCEPT, {**CLOSE, "code": code}))
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


class BlockedBefore(StrictServer):
    """Its `send()` begins with a checkpoint, and the close is due before it gets there."""

    send_of_app: Any = None

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.close":
            self.send_of_app.__self__.interrupt_close()
            await anyio.lowlevel.checkpoint()
        await super().send(message)


async def test_o4_a_close_is_not_lost_while_the_event_loop_is_blocked() -> None:
    """As httpx-ws' `send()` begins, when an app has blocked the event loop for `close_timeout`."""
    server = BlockedBefore("/ws")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        server.send_of_app = send
        await sending(ACCEPT, {**CLOSE, "code": 4001})(scope, receive, send)
        for _ in range(20):  # nor is the app interrupted later
            await anyio.lowlevel.checkpoint()

    result = await serve(app, server)
    assert result.client.close_code == 4001
    assert result.error is None


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


class Disconnected(RuntimeError):
    """As autobahn's."""


class OnAutobahn(StrictServer):
    """Like daphne, when autobahn knows that the client has left, and daphne does not yet."""

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.client.left:
            raise Disconnected


@pytest.mark.parametrize(("known", "last"), [(True, (TEXT, TEXT)), (True, (CLOSE, TEXT)), (True, ()), (False, (TEXT,))])
async def test_o7_the_send_that_finds_out_on_daphne(
    log: Log, monkeypatch: pytest.MonkeyPatch, known: bool, last: Any
) -> None:
    """It discards, as daphne does a moment later."""
    module = ModuleType("autobahn.exception")
    module.Disconnected = Disconnected if known else KeyError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "autobahn", ModuleType("autobahn"))
    monkeypatch.setitem(sys.modules, "autobahn.exception", module)
    server = OnAutobahn("/ws", raise_when_gone=False)
    server.scope["asgi"]["spec_version"] = "2.3"

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await sending(ACCEPT)(scope, receive, send)
        server.client_leaves(1001)
        for message in last:  # without any, the close is the guard's
            await send(message)

    result = await serve(app, server)
    assert type(result.error) is (type(None) if known else Disconnected)
    assert (log.lines() == []) is known


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
        with anyio.move_on_after(0.01):
            while True:
                disconnects.append(await receive())

    result = await serve(app, server)
    assert disconnects == [{"type": "websocket.disconnect", "code": 1001, "reason": "away"}]
    assert result.error is None


@pytest.mark.parametrize(
    "data",
    [{}, {"text": None, "bytes": None}, {"text": "", "bytes": b""}, {"text": 1}, {"bytes": [1]}, {"bytes": 1.0}],
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
    assert result[0].error.__suppress_context__  # the server's log would show the cancellation as its cause


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
