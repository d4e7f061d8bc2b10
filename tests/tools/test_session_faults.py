"""A session: violations, deadlines and tasks left behind, each named with its line."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import re
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import trio

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import ContractBroken, IllegalSequence, Violation, WebSocketClosed, WebSocketSession
from harness.apps import AppError
from harness.backends import in_memory, on_asyncio, on_trio
from harness.clock import in_virtual_time
from harness.messages import ACCEPT, CLOSE, START, TEXT
from harness.sessions import BAD, LAST_BODY, App, echo, line_of, until_gone

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
        "[O12] the app kept running for 5.0 s after the connection was over;"
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
    assert str(broken.value) == f"[O8] the app kept receiving after 100 disconnects ({where})"
