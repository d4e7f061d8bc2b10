"""The judge is judged: `StrictServer` takes what the ASGI spec allows, and nothing else."""

from __future__ import annotations

from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard.testing import Client, Denial, IllegalSequence, StrictServer
from harness.messages import ACCEPT, CLOSE, MESSAGES

pytestmark = pytest.mark.anyio
TEXT = MESSAGES["text"]
START = MESSAGES["start"]
BODY = MESSAGES["body"]
LAST_BODY = MESSAGES["last body"]


def accept(**more: Any) -> dict[str, Any]:
    return {**ACCEPT, **more}


def close(**more: Any) -> dict[str, Any]:
    return {**CLOSE, **more}


def start(**more: Any) -> dict[str, Any]:
    return {"type": "websocket.http.response.start", "status": 401, **more}


def send(**more: Any) -> dict[str, Any]:
    return {"type": "websocket.send", **more}


async def serve(*messages: Any, **options: Any) -> StrictServer:
    """Let an app send the messages to a server; return the server."""
    server = StrictServer("/ws", subprotocols=["chat"], **options)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    await server.run(app)
    return server


@pytest.mark.parametrize(
    ("messages", "client"),
    [
        ([], Client()),
        ([CLOSE], Client(denial=Denial(403, complete=True))),
        ([close(code=1006, reason="x" * 200)], Client(denial=Denial(403, complete=True))),
        ([ACCEPT], Client(accepted=True)),
        (
            [accept(subprotocol="chat", headers=[[b"x-app", b"1"]])],
            Client(accepted=True, subprotocol="chat", headers=[(b"x-app", b"1")]),
        ),
        ([accept(subprotocol=None, headers=())], Client(accepted=True)),
        ([accept(headers=[(b"a", b"\t\xff ")])], Client(accepted=True, headers=[(b"a", b"\t\xff ")])),
        ([start(headers=[(b"connection", b"close")])], Client()),
        ([ACCEPT, TEXT, send(bytes=b"1", text=None)], Client(accepted=True, messages=["hi", b"1"])),
        ([ACCEPT, send(bytes=bytearray(b"1")), send(text="")], Client(accepted=True, messages=[b"1", ""])),
        ([ACCEPT, CLOSE], Client(accepted=True, close_code=1000)),
        ([ACCEPT, close(code=1001, reason=None)], Client(accepted=True, close_code=1001)),
        ([ACCEPT, close(code=4999, reason="é" * 61)], Client(accepted=True, close_code=4999, close_reason="é" * 61)),
        ([START], Client()),
        ([START, BODY], Client(denial=Denial(401, START["headers"], b"no"))),
        ([START, BODY, LAST_BODY], Client(denial=Denial(401, START["headers"], b"nono", complete=True))),
        ([start(), {"type": "websocket.http.response.body"}], Client(denial=Denial(401, complete=True))),
    ],
)
async def test_legal(messages: list[Any], client: Client) -> None:
    server = await serve(*messages)
    assert server.client == client
    assert server.sent == messages
    assert server.violations == []


@pytest.mark.parametrize(
    ("before", "message", "fault"),
    [
        ([], None, "not a dict"),
        ([], "websocket.accept", "not a dict"),
        ([], {}, "before the handshake"),
        ([], {"type": []}, "before the handshake"),
        ([], {"type": "websocket.receive"}, "before the handshake"),
        ([], TEXT, "before the handshake"),
        ([], LAST_BODY, "before the handshake"),
        ([], accept(subprotocol="other"), "did not offer"),
        ([], accept(subprotocol=""), "did not offer"),
        ([], accept(headers=None), "not pairs"),
        ([], accept(headers=[b"x"]), "not pairs"),
        ([], accept(headers=[(b"a", b"b", b"c")]), "not pairs"),
        ([], accept(headers=[(b"a", b"b"), ("a", b"b")]), "not bytes"),
        ([], accept(headers=[(b"a", "b")]), "not bytes"),
        ([], accept(headers=[(b"", b"b")]), "must not be named"),
        ([], accept(headers=[(b":status", b"200")]), "must not be named"),
        ([], accept(headers=[(b"Sec-WebSocket-Protocol", b"chat")]), "must not be named"),
        *(
            ([], accept(headers=[(name, b"b")]), "must not be named")
            for name in (b"a\n", b"a b", b"a\t", b"a:", b"\xff", b"Upgrade", b"connection", b"content-length")
        ),
        *(([], accept(headers=[(b"a", value)]), "control character") for value in (b"b\r", b"b\0", b"\x1b", b"\x7f")),
        ([], start(headers=[(b"a b", b"c")]), "must not be named"),
        ([], start(status="401"), "status"),
        ([], start(status=None), "status"),
        ([], start(status=101), "status"),
        ([], start(status=600), "status"),
        ([], start(headers=[("a", "b")]), "not bytes"),
        ([START], ACCEPT, "in a denial response"),
        ([START], CLOSE, "in a denial response"),
        ([START], START, "in a denial response"),
        ([START], {**BODY, "body": "text"}, "body is not bytes"),
        ([START, BODY], TEXT, "in a denial response"),
        ([START, LAST_BODY], LAST_BODY, "after the end"),
        ([START, LAST_BODY], CLOSE, "after the end"),
        ([CLOSE], CLOSE, "after the end"),
        ([CLOSE], ACCEPT, "after the end"),
        ([ACCEPT], ACCEPT, "on an open connection"),
        ([ACCEPT], START, "on an open connection"),
        ([ACCEPT], send(), "exactly one"),
        ([ACCEPT], send(text=None, bytes=None), "exactly one"),
        ([ACCEPT], send(text="", bytes=b""), "exactly one"),
        ([ACCEPT], send(text=b"1"), "not a str"),
        ([ACCEPT], send(bytes="1"), "not bytes"),
        *(([ACCEPT], close(code=code), "close code") for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000, "1000")),
        ([ACCEPT], close(code=None), "close code"),
        ([ACCEPT], close(reason=b"bye"), "not a str"),
        ([ACCEPT], close(reason="é" * 62), "123 bytes"),
        ([ACCEPT], close(reason="\ud800"), "UTF-8"),
        ([ACCEPT, CLOSE], CLOSE, "after the end"),
        ([ACCEPT, CLOSE], TEXT, "after the end"),
    ],
)
async def test_illegal(before: list[Any], message: Any, fault: str) -> None:
    good = await serve(*before)
    server = StrictServer("/ws", subprotocols=["chat"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for earlier in before:
            await send(earlier)
        with pytest.raises(IllegalSequence, match=fault):
            await send(message)
        with pytest.raises(IllegalSequence, match=fault):
            await send(message)

    await server.run(app)
    assert len(server.violations) == 2  # also for an app that swallows the exception
    assert server.client == good.client


async def test_no_denial_extension() -> None:
    with pytest.raises(IllegalSequence, match="extension"):
        await serve(START, denial_extension=False)
    assert "websocket.http.response" in (await serve()).scope["extensions"]
    assert "websocket.http.response" not in (await serve(denial_extension=False)).scope["extensions"]


async def test_a_message_is_judged_when_its_coroutine_starts() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        early = send(TEXT)
        await send(CLOSE)
        await early

    with pytest.raises(IllegalSequence, match="after the end"):
        await StrictServer().run(app)


async def test_sent_after_the_app_returned() -> None:
    server = await serve(ACCEPT)
    with pytest.raises(IllegalSequence, match="after the app had ended"):
        await server.send(CLOSE)


async def test_the_apps_exception_goes_on() -> None:
    error = KeyError("app")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    server = StrictServer()
    with pytest.raises(KeyError) as caught:
        await server.run(app)
    assert caught.value is error
    assert not server.client.answered
    assert not server.client.ended


async def test_refused_codes() -> None:
    server = StrictServer(refused_codes=range(1001, 3000))

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        with pytest.raises(ValueError, match="1011"):
            await send(close(code=1011))
        await send(TEXT)
        await send(CLOSE)

    await server.run(app)
    assert server.client == Client(accepted=True, messages=["hi"], close_code=1000)
    assert (await serve(close(code=1011), refused_codes=range(1001, 3000))).client.denial == Denial(403, complete=True)


async def test_the_clients_messages_and_its_leaving() -> None:
    server = StrictServer(send_checkpoints=1)
    server.client_sends("hi")
    server.client_sends(b"1")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.connect"}
        await send(ACCEPT)
        assert await receive() == {"type": "websocket.receive", "text": "hi"}
        assert await receive() == {"type": "websocket.receive", "bytes": b"1"}
        server.client_leaves(1001, "away")
        with pytest.raises(OSError, match="left"):
            await send(TEXT)
        assert server.sent_after_disconnect == []
        for _ in range(2):
            assert await receive() == {"type": "websocket.disconnect", "code": 1001, "reason": "away"}
        with pytest.raises(OSError, match="left"):
            await send(CLOSE)

        with pytest.raises(OSError, match="left"):
            await send(close(code=1006))  # it reaches nobody

    await server.run(app)
    assert server.client == Client(accepted=True, left=True)
    assert server.sent_after_disconnect == [CLOSE, close(code=1006)]
    assert server.violations == []
    assert server.violations == []


async def test_several_wait_for_the_clients_next_message() -> None:
    server = StrictServer()
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def take() -> None:
            got.append(await receive())

        await receive()
        async with anyio.create_task_group() as group:
            group.start_soon(take)
            group.start_soon(take)
            await anyio.wait_all_tasks_blocked()
            server.client_sends("1")
            await anyio.wait_all_tasks_blocked()
            assert len(got) == 1
            server.client_sends("2")

    await server.run(app)
    assert [message["text"] for message in got] == ["1", "2"]


@pytest.mark.parametrize("goes_on", [StrictServer.client_reads, StrictServer.client_leaves])
async def test_a_client_that_stops_reading(goes_on: Any) -> None:
    server = StrictServer()
    server.client_reads()  # as it does already
    returned: list[Any] = []

    async def sending(message: Any) -> None:
        await server.send(message)
        returned.append(message)

    await sending(ACCEPT)
    server.client_stops_reading()
    server.client_stops_reading()
    async with anyio.create_task_group() as group:
        group.start_soon(sending, TEXT)
        group.start_soon(sending, send(bytes=b"1"))
        await anyio.wait_all_tasks_blocked()
        await sending(CLOSE)  # it waits for no one
        assert returned == [ACCEPT, CLOSE]
        goes_on(server)
    assert len(returned) == 4
    assert len(server.client.messages) == 2
    assert server.violations == []


async def test_a_server_that_says_nothing_more() -> None:
    """hypercorn: after the client left, `send` is silent and `receive` never returns."""
    server = StrictServer(raise_when_gone=False, repeat_disconnect=False)
    server.client_leaves()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"
        await send(ACCEPT)
        await receive()

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(server.run, app)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancel_called
    assert server.client == Client(left=True)


@pytest.mark.parametrize(
    ("messages", "code"),
    [([CLOSE], 1006), ([START, LAST_BODY], 1006), ([ACCEPT, close(code=4001)], 4001)],
)
async def test_the_disconnect_after_the_apps_own_end(messages: list[Any], code: int) -> None:
    server = StrictServer()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in messages:
            await send(message)
        assert await receive() == {"type": "websocket.disconnect", "code": code, "reason": ""}

    await server.run(app)
    assert server.client.ended


async def test_headers_that_can_be_read_only_once() -> None:
    server = await serve(accept(headers=iter([(b"x-app", b"1")])))
    assert server.client.headers == [(b"x-app", b"1")]


@pytest.mark.parametrize("checkpoints", [0, 2])
async def test_send_checkpoints(checkpoints: int, monkeypatch: pytest.MonkeyPatch) -> None:
    turns: list[Client] = []

    async def checkpoint() -> None:
        turns.append(server.client)

    monkeypatch.setattr(anyio.lowlevel, "checkpoint", checkpoint)
    server = StrictServer(send_checkpoints=checkpoints)
    await server.send(ACCEPT)
    assert turns == [Client(accepted=True)] * checkpoints
