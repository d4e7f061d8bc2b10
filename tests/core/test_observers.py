"""Observers: who is called when, and what none of them can break."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import types
from typing import Any

import anyio
import pytest

from asgi_wsguard import (
    ConnectionReport,
    Outcome,
    WebSocketGuardMiddleware,
)
from asgi_wsguard.testing import StrictServer
from harness.apps import AppError, disconnected, sending, slow_app, waiting
from harness.clock import in_virtual_time
from harness.messages import ACCEPT, CLOSE, OTHER
from harness.reports import Reports
from harness.timed import Blocked, Timed, serve

# Observers


@pytest.mark.anyio
async def test_a_plain_function_is_called_where_the_app_runs() -> None:
    """E1: so it must not block; `asyncio.to_thread` in an async one is for what does."""
    called: list[object] = []

    def observe(report: ConnectionReport) -> None:
        called.append((report.path, threading.current_thread()))

    async def observe_in_a_thread(report: ConnectionReport) -> None:
        await anyio.to_thread.run_sync(observe, report)

    await StrictServer("/ws").run(WebSocketGuardMiddleware(sending(ACCEPT), observers=[observe, observe_in_a_thread]))
    (_, here), (_, elsewhere) = called
    assert here is threading.main_thread()
    assert elsewhere is not here
    assert {path for path, _ in called} == {"/ws"}


def test_a_class_is_no_observer() -> None:
    """E1: a forgotten pair of brackets would make an object of each report, and nobody would be told."""
    with pytest.raises(TypeError, match=r"observers must be instances, not classes: Reports\(\), not <class "):
        WebSocketGuardMiddleware(sending(), observers=[Reports])


@pytest.mark.parametrize(
    ("client", "text"), [(None, ""), (("h", 1), "h:1"), (["h", None], "h:None"), ("unix", ""), (7, "")]
)
@in_virtual_time
async def test_a_client_of_any_kind(client: Any, text: str) -> None:
    server, reports = Timed(), Reports()
    server.scope["client"] = client
    await serve(slow_app(), server=server, observers=[reports])
    assert reports[0].client == text


@in_virtual_time
async def test_an_observer_that_raises_harms_nobody(captured: pytest.LogCaptureFixture) -> None:
    async def raises(report: ConnectionReport) -> None:
        raise AppError("observer")

    reports = Reports()
    server = await serve(slow_app(ACCEPT, CLOSE), observers=[raises, reports])
    assert server.client.close_code == 1000
    assert server.error is None
    assert len(reports) == 1
    (record,) = (record for record in captured.records if record.levelname == "ERROR")
    assert record.getMessage().startswith("[wsguard-E1] The observer <function ")
    assert record.exc_info is not None


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit])
@in_virtual_time
async def test_no_exception_of_an_observer_keeps_the_report_from_others(error: Any) -> None:
    async def raises(report: ConnectionReport) -> None:
        raise error

    reports = Reports()
    server = await serve(slow_app(ACCEPT, CLOSE), observers=[raises, reports])
    assert server.error is None
    assert len(reports) == 1


@in_virtual_time
async def test_an_observer_that_hangs_is_left_to_itself(captured: pytest.LogCaptureFixture) -> None:
    async def hangs(report: ConnectionReport) -> None:
        await anyio.sleep_forever()

    reports = Reports()
    server = await serve(slow_app(ACCEPT, CLOSE), observers=[hangs, reports], close_timeout=3)
    assert server.ended_at == 4
    assert len(reports) == 1
    (record,) = (record for record in captured.records if record.levelname == "WARNING")
    assert record.getMessage().endswith(" took more than 3 s and was cancelled.")


@in_virtual_time
async def test_a_cancellation_waits_for_the_observer() -> None:
    heard: list[float] = []

    async def slow(report: ConnectionReport) -> None:
        await anyio.sleep(2)
        heard.append(anyio.current_time())

    server = await serve(slow_app(ACCEPT, CLOSE), (2, Timed.stops), observers=[slow])
    assert heard == [3]
    assert server.cancelled


@pytest.mark.parametrize("messages", [(), (ACCEPT, CLOSE)])
@in_virtual_time
async def test_an_app_that_cannot_be_stopped_is_reported_all_the_same(messages: Any) -> None:
    heard: list[tuple[float, Outcome]] = []

    async def slow(report: ConnectionReport) -> None:
        await anyio.sleep(1)
        heard.append((anyio.current_time(), report.outcome))

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        await sending(*messages)(scope, receive, send)
        while anyio.current_time() < 40:
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(20)

    server = await serve(stubborn, observers=[slow], handshake_timeout=20, cleanup_timeout=10)
    assert heard == [(11, Outcome.OVERSTAYED) if messages else (21, Outcome.HANDSHAKE_TIMEOUT)]
    assert server.ended_at >= 40


@pytest.mark.anyio
async def test_a_call_that_returns_an_awaitable() -> None:
    reports = Reports()
    await serve(sending(ACCEPT, CLOSE), observers=[Returning(reports)])
    assert len(reports) == 1


class Returning:
    """An observer whose call is no coroutine function, but returns a coroutine."""

    def __init__(self, observer: Any) -> None:
        self._observer = observer

    def __call__(self, report: ConnectionReport) -> Any:
        return self._observer(report)


class Counting(Reports):
    """An observer that counts the open websockets."""

    def __init__(self) -> None:
        self.open: list[str] = []

    def opened(self, route: str) -> None:
        self.open.append(route)


@pytest.mark.parametrize(
    ("messages", "opened"), [((), 0), ((CLOSE,), 0), ((ACCEPT,), 1), ((ACCEPT, CLOSE), 1), ((OTHER, ACCEPT), 1)]
)
@in_virtual_time
async def test_an_observer_may_count_the_open_websockets(messages: Any, opened: int) -> None:
    counting = Counting()
    await serve(slow_app(*messages), observers=[counting, Reports()])
    assert len(counting.open) == opened == sum(report.open_for is not None for report in counting)


@in_virtual_time
async def test_the_route_of_an_open_websocket_stays_what_it_was(captured: pytest.LogCaptureFixture) -> None:
    async def moves(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/{first}"
        await send(ACCEPT)
        scope["path_template"] = "/{then}"

    counting = Counting()
    await serve(moves, observers=[counting])
    assert counting.open == ["/{first}"] == [report.route for report in counting]


@in_virtual_time
async def test_an_accept_that_is_cancelled_counts(captured: pytest.LogCaptureFixture) -> None:
    """Servers act first and wait after, so that the client has its answer."""

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            await anyio.sleep(1)

    class Raising(Counting):
        def opened(self, route: str) -> None:
            super().opened(route)
            raise AppError

    raising = Raising()
    await serve(slow_app(ACCEPT), (1.5, Timed.stops), server=Slow(), observers=[raising])
    assert len(raising.open) == sum(report.open_for is not None for report in raising) == 1
    assert any(record.getMessage().startswith("[wsguard-E1] ") for record in captured.records)


@in_virtual_time
async def test_an_accept_that_the_server_is_still_at_when_all_is_over() -> None:
    """Neither an HTTP status of 1001, nor a websocket counted in that nobody counts out."""

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == ACCEPT["type"]:
                await anyio.sleep(5)

    counting = Counting()
    await serve(slow_app(ACCEPT), server=Slow(), observers=[counting], max_lifetime=1, exit_timeout=1)
    (report,) = counting
    assert (report.outcome, report.status, report.close_code) == (Outcome.OUTLIVED, None, None)
    assert report.answered_after is report.open_for is None
    assert len(counting.open) == 0


@in_virtual_time
async def test_the_reason_is_the_apps_whatever_the_server_says_after() -> None:
    class Forgetful(Timed):
        async def receive(self) -> dict[str, Any]:
            message = await super().receive()
            return {**message, "reason": ""}

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send({**CLOSE, "code": 4000, "reason": "bye"})
        await disconnected(receive)

    reports = Reports()
    await serve(closing, server=Forgetful(), observers=[reports])
    assert [(report.close_code, report.close_reason) for report in reports] == [(4000, "bye")]


@pytest.mark.parametrize(
    ("messages", "outcome", "status"),
    [((), Outcome.ABANDONED, None), ((ACCEPT,), Outcome.ABANDONED, None), ((CLOSE,), Outcome.REFUSED, 403)],
)
def test_an_app_that_is_thrown_away(
    messages: Any, outcome: Outcome, status: int | None, captured: pytest.LogCaptureFixture
) -> None:
    plain: list[ConnectionReport] = []
    reports = Reports()

    async def hangs(report: ConnectionReport) -> None:
        await anyio.sleep_forever()

    async def raises(report: ConnectionReport) -> None:
        raise AppError

    def returns_a_future(report: ConnectionReport) -> Any:
        return asyncio.get_running_loop().create_future()

    async def main() -> None:
        observers = [plain.append, hangs, raises, returns_a_future, reports]
        guarded = WebSocketGuardMiddleware(waiting(*messages), observers=observers)
        call = StrictServer("/ws").run(guarded)
        call.send(None)
        call.close()

    asyncio.run(main())
    (report,) = reports
    assert plain == reports
    assert (report.outcome, report.status, report.close_code) == (outcome, status, None)
    assert report.closed_by == ("app" if status else "")
    assert sum(record.getMessage().startswith("[wsguard-E1] ") for record in captured.records) == 1


def test_an_app_that_is_thrown_away_after_its_event_loop() -> None:
    reports, tasks = Reports(), []

    async def in_two_tasks(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        tasks.append(asyncio.ensure_future(receive()))
        await asyncio.sleep(0)
        await never()

    @types.coroutine
    def never() -> Any:
        yield

    async def main() -> None:
        calls.append(StrictServer("/ws").run(WebSocketGuardMiddleware(in_two_tasks, observers=[reports])))
        calls[0].send(None)
        await asyncio.sleep(0)
        calls[0].send(None)

    calls: list[Any] = []
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda loop, context: None)  # of the task that is left
    loop.run_until_complete(main())
    loop.close()
    calls[0].close()
    assert [report.outcome for report in reports] == [Outcome.ABANDONED]


def test_a_call_that_is_thrown_away_while_it_settles() -> None:
    reports = Reports()

    async def main() -> None:
        call = Blocked("/ws").run(WebSocketGuardMiddleware(sending(ACCEPT), observers=[reports]))
        call.send(None)
        await asyncio.sleep(0)
        call.close()

    asyncio.run(main())
    assert [report.outcome for report in reports] == [Outcome.ABANDONED]


def test_a_call_that_is_thrown_away_while_it_tells() -> None:
    told: list[ConnectionReport] = []

    async def slow(report: ConnectionReport) -> None:
        told.append(report)
        await anyio.sleep_forever()

    async def main() -> None:
        call = StrictServer("/ws").run(WebSocketGuardMiddleware(sending(ACCEPT, CLOSE), observers=[slow]))
        call.send(None)
        await asyncio.sleep(0)
        call.close()

    asyncio.run(main())
    assert len(told) == 1


@pytest.mark.parametrize("observers", [5, None, "observer", print, [print, "observer"]])
def test_what_is_no_observer_is_refused_by_name(observers: Any) -> None:
    with pytest.raises(TypeError, match=r"^observers must be .*(5|None|'observer'|print)"):
        WebSocketGuardMiddleware(sending(), observers=observers)
