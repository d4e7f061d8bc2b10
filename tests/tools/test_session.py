"""A session: what the client sees and does, and what fails the test."""

from __future__ import annotations

import asyncio
import json
import sysconfig
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard.testing import ContractBroken, Denial, WebSocketClosed, WebSocketSession
from harness.apps import AppError
from harness.backends import in_memory, on_asyncio
from harness.messages import ACCEPT, BODY, CLOSE, START, TEXT
from harness.sessions import LAST_BODY, App, WebSocketDisconnect, echo, line_of, until_gone

# What the client sees and does


@in_memory
async def test_an_echo() -> None:
    async with WebSocketSession(echo, "/ws", subprotocols=["chat"]) as ws:
        assert ws.accepted
        assert ws.subprotocol == "chat"
        assert ws.headers == [(b"x-app", b"1")]
        assert ws.denial is None
        await ws.send_text("hi")
        assert await ws.receive_text() == "hi"
        await ws.send_bytes(b"hi")
        assert await ws.receive_bytes() == b"hi"
        await ws.send_json({"a": 1})
        assert await ws.receive_json() == {"a": 1}
        await ws.send_bytes(json.dumps([1]).encode())
        assert await ws.receive_json() == [1]
        await ws.send_text("")
        assert await ws.receive() == ""
        assert ws.close_code is None
        assert ws.close_reason == ""
    assert ws.close_code == 1000


@in_memory
async def test_the_scope() -> None:
    app = App(CLOSE)
    session = WebSocketSession(
        app, "/caf%C3%A9/ü x?a=b&c=d e", subprotocols=["a", "b"], headers={"Host": "example.org", "X-App": "é"}
    )
    session.scope["user"] = "me"
    async with session:
        pass
    assert app.scope["path"] == "/café/ü x"
    assert app.scope["raw_path"] == b"/caf%C3%A9/%C3%BC%20x"
    assert app.scope["query_string"] == b"a=b&c=d%20e"
    assert app.scope["subprotocols"] == ["a", "b"]
    assert app.scope["user"] == "me"
    headers = dict(app.scope["headers"])
    assert len(headers) == len(app.scope["headers"])
    assert headers[b"host"] == b"example.org"
    assert headers[b"x-app"] == "é".encode("latin-1")
    assert headers[b"upgrade"] == b"websocket"
    assert headers[b"sec-websocket-protocol"] == b"a, b"
    async with WebSocketSession(app, headers=[(b"X", b"1"), ("x", "2")]):
        pass
    assert app.scope["path"] == "/"
    assert app.scope["headers"][-2:] == [(b"x", b"1"), (b"x", b"2")]
    assert b"sec-websocket-protocol" not in dict(app.scope["headers"])


@in_memory
async def test_the_app_closes() -> None:
    async with WebSocketSession(App(ACCEPT, TEXT, {**CLOSE, "code": 4000, "reason": "bye"})) as ws:
        assert await ws.receive_text() == "hi"
        with pytest.raises(WebSocketClosed, match="closed with 4000: bye") as closed:
            await ws.receive_text()
        assert (closed.value.code, closed.value.reason) == (4000, "bye")
        with pytest.raises(WebSocketClosed):
            await ws.send_text("late")
        await ws.close()
    assert (ws.close_code, ws.close_reason) == (4000, "bye")


@in_memory
async def test_the_client_closes() -> None:
    app = App(ACCEPT, TEXT, then=until_gone)
    async with WebSocketSession(app) as ws:
        await ws.close(4001, "enough")
        assert await ws.receive_text() == "hi"
        with pytest.raises(WebSocketClosed, match="closed with 4001: enough"):
            await ws.receive_text()
    assert (ws.close_code, ws.close_reason) == (4001, "enough")


@in_memory
async def test_the_client_vanishes() -> None:
    got = []

    async def then(receive: Any, send: Any) -> None:
        got.append(await receive())

    async with WebSocketSession(App(ACCEPT, then=then)) as ws:
        await ws.vanish()
        await ws.vanish()
        assert ws.close_code == 1006
    assert got == [{"type": "websocket.disconnect", "code": 1006, "reason": ""}]


@in_memory
@pytest.mark.parametrize(
    ("messages", "denial"),
    [
        ([CLOSE], Denial(403, complete=True)),
        ([START, BODY, LAST_BODY], Denial(401, [(b"x-app", b"1")], b"noway", complete=True)),
    ],
)
async def test_a_denial(messages: list[Any], denial: Denial) -> None:
    async with WebSocketSession(App(*messages)) as ws:
        assert not ws.accepted
        assert ws.denial == denial
        for call in (ws.receive_text(), ws.send_text("hi")):
            with pytest.raises(WebSocketClosed, match=f"the handshake was denied with {denial.status}"):
                await call
    assert ws.close_code is None


@in_memory
async def test_a_denial_is_awaited_to_its_end() -> None:
    async def then(receive: Any, send: Any) -> None:
        await anyio.wait_all_tasks_blocked()
        await send(LAST_BODY)

    async with WebSocketSession(App(START, BODY, then=then)) as ws:
        assert ws.denial is not None
        assert ws.denial.body == b"noway"


@in_memory
async def test_a_client_that_does_not_read() -> None:
    sent = []

    async def then(receive: Any, send: Any) -> None:
        await receive()
        await send(TEXT)
        sent.append(1)
        await until_gone(receive, send)

    async with WebSocketSession(App(ACCEPT, then=then)) as ws:
        ws.stop_reading()
        await ws.send_text("go")
        await anyio.wait_all_tasks_blocked()
        assert not sent
        with pytest.raises(RuntimeError, match="resume_reading"):
            await ws.receive_text()
        ws.resume_reading()
        assert await ws.receive_text() == "hi"
        await anyio.wait_all_tasks_blocked()
        assert sent


@in_memory
async def test_the_wrong_kind_of_message() -> None:
    app = App(ACCEPT, TEXT, {"type": "websocket.send", "bytes": b"hi"}, then=until_gone)
    async with WebSocketSession(app) as ws:
        with pytest.raises(AssertionError, match="expected bytes, and the app sent text: 'hi'"):
            await ws.receive_bytes()
        with pytest.raises(AssertionError, match="expected text, and the app sent bytes: b'hi'"):
            await ws.receive_text()


# What comes out of the app


@in_memory
async def test_h1_fails_at_once() -> None:
    async def returns(scope: Any, receive: Any, send: Any) -> None: ...

    for strict in (True, False):
        with pytest.raises(ContractBroken) as broken:
            async with WebSocketSession(returns, timeout=None, strict=strict):
                pytest.fail("not answered")
        where = line_of(test_h1_fails_at_once, "def returns")
        assert str(broken.value) == f"[H1] the app returned without answering the handshake ({where})"
        assert broken.value.violations[0].clause == "H1"


@in_memory
async def test_h2_raises_what_the_app_raised() -> None:
    async def then(receive: Any, send: Any) -> None:
        raise AppError

    with pytest.raises(AppError):
        async with WebSocketSession(App(then=then), timeout=None):
            pytest.fail("not answered")


@in_memory
async def test_h8_a_denial_that_does_not_end() -> None:
    with pytest.raises(ContractBroken, match=r"^\[H8\] .*body"):
        async with WebSocketSession(App(START, BODY)) as ws:
            assert ws.denial == Denial(401, [(b"x-app", b"1")], b"no")


@in_memory
async def test_o1_the_app_returns() -> None:
    """It is how most apps end, and no fault."""
    async with WebSocketSession(App(ACCEPT)) as ws:
        with pytest.raises(WebSocketClosed, match="closed with 1006: the app ended and did not close it"):
            await ws.receive_text()
        assert ws.close_code == 1006
    assert ws.violations == []


@in_memory
async def test_o5_the_app_closes_twice() -> None:
    """As in `finally: await websocket.close()`, which frameworks do, too."""
    async with WebSocketSession(App(ACCEPT, CLOSE, CLOSE)) as ws:
        with pytest.raises(WebSocketClosed):
            await ws.receive_text()
        assert ws.close_code == 1000
    assert ws.violations == []


@in_memory
async def test_e3_an_exception_of_the_frameworks_after_the_client_has_left() -> None:
    """Quart's own `ClientDisconnectedError`, for one. No line of the user's is in its way."""
    source = """async def app(scope, receive, send):
        await receive()
        await send({'type': 'websocket.accept'})
        await receive()
        raise RuntimeError('the client has left')"""
    library: dict[str, Any] = {}
    exec(compile(source, f"{sysconfig.get_paths()['purelib']}/framework.py", "exec"), library)
    async with WebSocketSession(library["app"]) as ws:
        pass
    assert ws.violations == []


@in_memory
async def test_o2_the_app_raises() -> None:
    async def then(receive: Any, send: Any) -> None:
        await receive()
        raise AppError

    async def session() -> None:
        async with WebSocketSession(App(ACCEPT, then=then)) as ws:
            await ws.send_text("go")
            with pytest.raises(WebSocketClosed, match="1006") as closed:
                await ws.receive_text()
            assert isinstance(closed.value.__cause__, AppError)

    with pytest.raises(AppError):
        await session()


@in_memory
@on_asyncio
async def test_an_app_that_cancels_itself() -> None:
    async def then(receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    async with WebSocketSession(App(ACCEPT, then=then)) as ws:
        pass
    assert ws.close_code == 1006
    with pytest.raises(ContractBroken, match=r"^\[H3\] the app was cancelled"):
        async with WebSocketSession(App(then=then), timeout=None):
            pytest.fail("not answered")


@in_memory
async def test_the_tests_own_exception_is_kept() -> None:
    async def then(receive: Any, send: Any) -> None:
        raise AppError((await receive())["code"])

    with pytest.raises(ZeroDivisionError) as raised:
        async with WebSocketSession(App(ACCEPT, then=then)):
            raise ZeroDivisionError
    assert raised.value.__notes__ == ["the app raised AppError(1006)"]
    with pytest.raises(ZeroDivisionError) as raised:
        async with WebSocketSession(App(ACCEPT, CLOSE, TEXT)):
            raise ZeroDivisionError
    assert raised.value.__notes__[0].startswith("[O6] ")
    with pytest.raises(ZeroDivisionError) as raised:
        async with WebSocketSession(App(ACCEPT, then=until_gone)):
            raise ZeroDivisionError
    assert not hasattr(raised.value, "__notes__")


@in_memory
async def test_a_cause_needs_no_note() -> None:
    async def then(receive: Any, send: Any) -> None:
        raise AppError

    with pytest.raises(WebSocketClosed) as raised:
        async with WebSocketSession(App(ACCEPT, then=then)) as ws:
            await ws.receive_text()
    assert isinstance(raised.value.__cause__, AppError)
    assert not hasattr(raised.value, "__notes__")


@in_memory
async def test_what_is_no_exception_goes_first() -> None:
    class Stop(BaseException):
        pass

    async def then(receive: Any, send: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        async with WebSocketSession(App(ACCEPT, then=then)):
            raise ZeroDivisionError


class Group(Exception):
    """As a task group raises it, on any Python."""

    def __init__(self, *exceptions: BaseException) -> None:
        self.exceptions = exceptions


@in_memory
@pytest.mark.parametrize("grouped", [False, True])
async def test_an_app_that_only_says_that_the_client_has_left(grouped: bool) -> None:
    async def sends(receive: Any, send: Any) -> None:
        await until_gone(receive, send)
        try:
            await send(TEXT)
        except OSError as exc:
            raise (Group(exc, WebSocketDisconnect()) if grouped else exc) from None

    async def receives(receive: Any, send: Any) -> None:
        await until_gone(receive, send)
        raise WebSocketDisconnect

    for then in (sends, receives):
        async with WebSocketSession(App(ACCEPT, then=then)):
            pass


@in_memory
async def test_other_exceptions_after_the_client_has_left() -> None:
    for error in (OSError("database"), Group(OSError("database"), WebSocketDisconnect())):

        async def then(receive: Any, send: Any, error: Exception = error) -> None:
            await until_gone(receive, send)
            raise error

        with pytest.raises(type(error)) as raised:
            async with WebSocketSession(App(ACCEPT, then=then)):
                pass
        assert raised.value is error


@in_memory
async def test_a_disconnect_out_of_the_blue_is_raised() -> None:
    async def then(receive: Any, send: Any) -> None:
        raise WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect):
        async with WebSocketSession(App(ACCEPT, then=then)):
            pass
