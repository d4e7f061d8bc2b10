"""A session: what the client sees and does, and what fails the test."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import json
import re
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio
from virtual_clock import in_virtual_time

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import (
    ContractBroken,
    Denial,
    IllegalSequence,
    Violation,
    WebSocketClosed,
    WebSocketSession,
)

in_memory = pytest.mark.anyio
on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
on_trio = pytest.mark.parametrize("anyio_backend", ["trio"])

ACCEPT = {"type": "websocket.accept"}
TEXT = {"type": "websocket.send", "text": "hi"}
BAD = {"type": "websocket.send"}
CLOSE = {"type": "websocket.close"}
START = {"type": "websocket.http.response.start", "status": 401, "headers": [(b"x-app", b"1")]}
BODY = {"type": "websocket.http.response.body", "body": b"no", "more_body": True}
LAST_BODY = {"type": "websocket.http.response.body", "body": b"way"}


class AppError(Exception):
    pass


class WebSocketDisconnect(Exception):
    """As Starlette and Litestar call it."""


class App:
    """Sends messages, and then does one thing more, at a line that is known."""

    def __init__(self, *messages: Any, then: Any = None) -> None:
        self.messages = messages
        self.then = then
        self.received: list[Any] = []
        self.scope: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.received.append(await receive())
        for message in self.messages:
            await send(message)
        if self.then is not None:
            await self.then(receive, send)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({**ACCEPT, "subprotocol": scope["subprotocols"][0], "headers": [(b"x-app", b"1")]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({**message, "type": "websocket.send"})


async def until_gone(receive: Any, send: Any) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


def line_of(function: Any, text: str) -> str:
    """Return file and line of the first line in a function that holds the text."""
    lines, first = inspect.getsourcelines(function)
    number = next(number for number, line in enumerate(lines, first) if text in line)
    return f"{__file__}:{number}"


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
    async def session() -> None:
        async with WebSocketSession(App(ACCEPT)) as ws:
            with pytest.raises(WebSocketClosed, match="closed with 1006: the app ended and did not close it"):
                await ws.receive_text()
            assert ws.close_code == 1006

    with pytest.raises(ContractBroken, match=r"^\[O1\] the app returned without closing the websocket"):
        await session()
    async with WebSocketSession(App(ACCEPT), strict=False) as ws:
        pass
    assert [violation.clause for violation in ws.violations] == ["O1"]


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
        async with WebSocketSession(App(ACCEPT)):
            raise ZeroDivisionError
    assert raised.value.__notes__[0].startswith("[O1] the app returned without closing the websocket")
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


# Violations


@in_memory
async def test_each_violation_once_with_clause_and_line() -> None:
    async def then(receive: Any, send: Any) -> None:
        for _ in range(3):
            with pytest.raises(IllegalSequence):
                await send(BAD)
        with pytest.raises(IllegalSequence):
            await send(ACCEPT)  # once more
        await send(CLOSE)

    session = WebSocketSession(App(ACCEPT, then=then))
    with pytest.raises(ContractBroken) as broken:
        async with session:
            pass
    function = test_each_violation_once_with_clause_and_line
    expected = (
        Violation("O9", f"{BAD!r}: exactly one of text and bytes must be given", line_of(function, "send(BAD)")),
        Violation("O10", f"{ACCEPT!r}: sent on an open connection", line_of(function, "once more")),
    )
    assert broken.value.violations == expected
    assert str(broken.value) == "\n".join(f"[{found.clause}] {found.what} ({found.where})" for found in expected)
    tolerant = WebSocketSession(App(ACCEPT, then=then), strict=False)
    async with tolerant:
        pass
    assert tuple(tolerant.violations) == expected


@in_memory
async def test_a_violation_that_comes_out_of_the_app() -> None:
    with pytest.raises(ContractBroken, match=r"^\[O9\] ") as broken:
        async with WebSocketSession(App(ACCEPT, BAD)):
            pass
    assert isinstance(broken.value.__cause__, IllegalSequence)
    with pytest.raises(ContractBroken, match=r"^\[H10\] "):
        async with WebSocketSession(App(TEXT)):
            pass
    with pytest.raises(IllegalSequence):
        async with WebSocketSession(App(ACCEPT, BAD), strict=False):
            pass


@in_memory
async def test_a_violation_beside_an_exception_is_a_note() -> None:
    async def then(receive: Any, send: Any) -> None:
        with pytest.raises(IllegalSequence):
            await send(BAD)
        raise AppError

    with pytest.raises(AppError) as raised:
        async with WebSocketSession(App(ACCEPT, then=then)):
            pass
    assert raised.value.__notes__[0].startswith("[O9] ")  # type: ignore[attr-defined]


@in_memory
@pytest.mark.parametrize(
    ("messages", "clause"),
    [
        ([None], "H10"),
        ([TEXT], "H10"),
        ([{**ACCEPT, "headers": [("x", b"1")]}], "H11"),
        ([{**ACCEPT, "subprotocol": "other"}], "H14"),
        ([START], "H9"),
        ([{**START, "status": 99}], "H9"),
        ([{"type": "websocket.http.response.body", "body": b""}], "H10"),
        ([ACCEPT, ACCEPT], "O10"),
        ([ACCEPT, BAD], "O9"),
        ([ACCEPT, {**CLOSE, "code": 1006}], "O4"),
        ([ACCEPT, CLOSE, CLOSE], "O5"),
        ([ACCEPT, CLOSE, TEXT], "O6"),
    ],
)
async def test_the_clause_of_a_violation(messages: list[Any], clause: str) -> None:
    session = WebSocketSession(App(*messages), denial_extension=False)
    with pytest.raises(ContractBroken):
        async with session:
            pass
    assert session.violations[0].clause == clause


@in_memory
async def test_the_clauses_of_a_denial() -> None:
    for last in ({**LAST_BODY, "body": "no"}, CLOSE):
        session = WebSocketSession(App(START, last))
        with pytest.raises(ContractBroken):
            async with session:
                pass
        assert [violation.clause for violation in session.violations] == ["H10"]
    session = WebSocketSession(App({**START, "status": "401"}))
    with pytest.raises(ContractBroken, match="H10"):
        async with session:
            pass


@in_memory
async def test_the_guard_leaves_nothing_to_find() -> None:
    async def returns(scope: Any, receive: Any, send: Any) -> None: ...

    async with WebSocketSession(WebSocketGuardMiddleware(returns)) as ws:
        assert ws.denial is not None
        assert ws.denial.status == 500
    async with WebSocketSession(WebSocketGuardMiddleware(App(ACCEPT))) as ws:
        with pytest.raises(WebSocketClosed):
            await ws.receive_text()
    assert ws.close_code == 1000
    async with WebSocketSession(WebSocketGuardMiddleware(echo), subprotocols=["chat"]) as ws:
        await ws.send_text("hi")
        assert await ws.receive_text() == "hi"
    assert ws.violations == []


# Deadlines


async def never(receive: Any, send: Any) -> None:
    await anyio.sleep_forever()  # here


@in_virtual_time
async def test_h4_no_answer() -> None:
    where = line_of(never, "# here")
    with pytest.raises(TimeoutError) as late:
        async with WebSocketSession(App(then=never)):
            pytest.fail("not answered")
    assert str(late.value) == (
        "[H4] the app had not answered the handshake after 5.0 s;"
        f" expected an accept, a close or a denial; the app waits at {where}"
    )


@in_virtual_time
async def test_no_message_in_time() -> None:
    async def then(receive: Any, send: Any) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(never, receive, send)
            await until_gone(receive, send)
            group.cancel_scope.cancel()

    async with WebSocketSession(App(ACCEPT, then=then), timeout=2) as ws:
        with pytest.raises(TimeoutError) as late:
            await ws.receive_json()
    text = str(late.value)
    assert text.startswith("the app sent nothing within 2 s; expected JSON; ")
    assert f"the app waits at {line_of(until_gone, 'await receive')}" in text
    assert re.search(rf"the app's task \S*never( \(.*\))? waits at {re.escape(line_of(never, '# here'))}", text)


@in_virtual_time
async def test_o12_an_app_that_does_not_end() -> None:
    start = anyio.current_time()
    with pytest.raises(ContractBroken) as broken:
        async with WebSocketSession(App(ACCEPT, then=never)):
            pass
    assert str(broken.value) == (
        "[O12] the app went on for 5.0 s after the connection was over;"
        f" the app waits at {line_of(never, '# here')}; it was cancelled"
    )
    assert anyio.current_time() - start == 5


@in_virtual_time
async def test_a_test_that_fails_does_not_wait() -> None:
    start = anyio.current_time()
    with pytest.raises(ZeroDivisionError):
        async with WebSocketSession(App(ACCEPT, then=never)):
            raise ZeroDivisionError
    assert anyio.current_time() == start


@in_virtual_time
async def test_a_test_that_is_cancelled_takes_the_app_along() -> None:
    for app in (App(then=never), App(ACCEPT, then=never)):
        with anyio.move_on_after(1) as scope:
            async with WebSocketSession(app, timeout=None):
                pass
        assert scope.cancelled_caught


@on_asyncio
@in_virtual_time
async def test_an_app_that_ignores_its_cancellation() -> None:
    async def then(receive: Any, send: Any) -> None:
        for _ in range(2):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)  # deaf

    where = line_of(test_an_app_that_ignores_its_cancellation, "# deaf")
    session = WebSocketSession(App(ACCEPT, then=then))
    with pytest.raises(ContractBroken, match="O12") as broken:
        async with session:
            pass
    assert str(broken.value.violations[1]) == f"the app was left behind; it waits ({where})"


@in_virtual_time
async def test_an_app_in_a_library() -> None:
    with pytest.raises(TimeoutError, match=r"the app waits at .*\.py:\d+$"):
        async with WebSocketSession(lambda scope, receive, send: anyio.sleep_forever()):
            pass


# Tasks


@in_memory
@on_asyncio
async def test_a_task_left_behind() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def pump() -> None:
        await asyncio.sleep(3600)  # pumps

    async def then(receive: Any, send: Any) -> None:
        tasks.append(asyncio.get_running_loop().create_task(pump()))
        tasks.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))
        tasks[0].set_name("pump")
        tasks[1].set_name("sleep")
        await send(CLOSE)

    mine = asyncio.get_running_loop().create_task(asyncio.sleep(3600))
    session = WebSocketSession(App(ACCEPT, then=then))
    with pytest.raises(ContractBroken) as broken:
        async with session:
            others = asyncio.get_running_loop().create_task(asyncio.sleep(3600))
    pumping, sleeping = broken.value.violations
    name = "the app's task pump (test_a_task_left_behind.<locals>.pump)"
    where = line_of(test_a_task_left_behind, "# pumps")
    assert str(pumping) == f"{name} was left behind; it waits ({where})"
    assert sleeping.what == "the app's task sleep (sleep) was left behind; it waits"
    assert "asyncio" in sleeping.where
    assert [task.cancelled() for task in tasks] == [True, True]
    assert [mine.done(), others.done()] == [False, False]
    mine.cancel()
    others.cancel()
    async with WebSocketSession(App(ACCEPT, then=then), strict=False) as ws:
        pass
    assert len(ws.violations) == 2


@in_memory
@on_trio
async def test_a_task_left_behind_on_trio() -> None:
    go = trio.Event()

    async def pump() -> None:
        await go.wait()  # pumps

    async def then(receive: Any, send: Any) -> None:
        trio.lowlevel.spawn_system_task(pump, context=contextvars.copy_context())
        await send(CLOSE)

    with pytest.raises(ContractBroken, match="pump was left behind") as broken:
        async with WebSocketSession(App(ACCEPT, then=then)):
            pass
    assert broken.value.violations[0].where == line_of(test_a_task_left_behind_on_trio, "# pumps")
    go.set()


@in_memory
@on_asyncio
async def test_tasks_that_take_their_leave() -> None:
    async def pump() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            for _ in range(5):
                await asyncio.sleep(0)

    async def then(receive: Any, send: Any) -> None:
        task = asyncio.get_running_loop().create_task(pump())
        await asyncio.sleep(0)
        task.cancel()
        await send(CLOSE)

    async with WebSocketSession(App(ACCEPT, then=then)) as ws:
        pass
    assert ws.violations == []


@in_memory
async def test_two_sessions_at_once() -> None:
    async with WebSocketSession(echo, subprotocols=["a"]) as one, WebSocketSession(echo, subprotocols=["b"]) as two:
        await one.send_text("1")
        await two.send_text("2")
        assert (await one.receive_text(), await two.receive_text()) == ("1", "2")


# Without pytest's help


def in_another_task() -> Iterator[None]:
    """A fixture of pytest-asyncio's is set up in one task, and torn down in another."""
    session = WebSocketSession(echo, subprotocols=["chat"])
    loop = asyncio.new_event_loop()
    loop.run_until_complete(session.__aenter__())
    yield loop.run_until_complete(session.send_text("hi"))
    assert loop.run_until_complete(session.receive_text()) == "hi"
    loop.run_until_complete(session.__aexit__(None, None, None))
    loop.close()


def test_begun_in_one_task_and_ended_in_another() -> None:
    assert list(in_another_task()) == [None]


@in_memory
async def test_an_app_that_receives_for_ever_is_stopped() -> None:
    async def receives_for_ever(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        while True:
            await receive()  # here

    with pytest.raises(ContractBroken) as broken:
        async with WebSocketSession(receives_for_ever):
            pass
    where = line_of(receives_for_ever, "# here")
    assert str(broken.value) == f"[O8] the app went on to receive after 100 disconnects ({where})"
