"""E1: one report for each connection, and at most one log line, which nothing that a client sends can break."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import pickle
import sys
import threading
import time
import types
from dataclasses import FrozenInstanceError, replace
from typing import Any

import anyio
import pytest
from reports import LEFT
from test_clauses_memory import (
    ACCEPT,
    BODY,
    CLOSE,
    LAST_BODY,
    START,
    TEXT,
    AppError,
    sending,
    waiting,
)
from test_time_memory import Blocked, Timed, disconnected, leaves, serve
from virtual_clock import in_virtual_time

from asgi_wsguard import (
    ClientDisconnected,
    ConnectionReport,
    Outcome,
    ProtocolViolation,
    Violation,
    WebSocketGuardMiddleware,
)
from asgi_wsguard.connection import Connection
from asgi_wsguard.observers import THREADS
from asgi_wsguard.report.error import text_of, type_of
from asgi_wsguard.report.log import DEEDS
from asgi_wsguard.report.printable import printable
from asgi_wsguard.testing import StrictServer

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

# What most reports say.
REPORT = replace(
    LEFT,
    outcome=Outcome.CLOSED,
    path="/ws",
    route="",
    client="127.0.0.1:50000",
    answered_after=0.0,
    open_for=0.0,
    close_code=1000,
    closed_by="app",
)
CRASHED = {"error_type": "test_clauses_memory.AppError", "error": "AppError: room '…' of #"}
CRASH = AppError("room 'lobby' of 12\nsecret")
OTHER = {"type": "websocket.accept", "subprotocol": "other"}


class Reports(list[ConnectionReport]):
    """An observer that never waits."""

    async def __call__(self, report: ConnectionReport) -> None:
        self.append(report)


def closed(code: int | None, by: str, outcome: Outcome, **more: Any) -> ConnectionReport:
    return replace(REPORT, close_code=code, closed_by=by, outcome=outcome, **more)


def denied(status: int | None, by: str, outcome: Outcome, **more: Any) -> ConnectionReport:
    return replace(REPORT, status=status, close_code=None, open_for=None, closed_by=by, outcome=outcome, **more)


def app(*messages: Any, then: float = 0, raises: BaseException | None = None) -> Any:
    """Return an app that takes its time, sends the messages, takes its time again, and may raise."""

    async def slowly(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await anyio.sleep(1)
        for message in messages:
            await send(message)
        await anyio.sleep(then)
        if raises is not None:
            raise raises

    return slowly


def listening(*messages: Any, raises: BaseException | None = None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)
        await disconnected(receive)
        if raises is not None:
            raise raises

    return app


def catching(wrong: Any, then: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(3):
            with pytest.raises(ProtocolViolation):
                await send(wrong)
        await sending(*then)(scope, receive, send)

    return app


CASES: dict[str, Any] = {
    # Name: the app, the report, what happens meanwhile, the options, the log line's level and clause
    "H1": (app(), denied(500, "guard", Outcome.RETURNED_UNANSWERED, answered_after=1.0), (), {}, "ERROR H1"),
    "H2": (
        app(raises=CRASH),
        denied(500, "guard", Outcome.RAISED_UNANSWERED, answered_after=1.0, **CRASHED),
        (),
        {},
        "ERROR H2",
    ),
    "H2, left to the crash path": (
        app(raises=CRASH),
        denied(None, "guard", Outcome.RAISED_UNANSWERED, answered_after=None, **CRASHED),
        (),
        {"without_extension": "raise", "server": lambda: Timed(denial_extension=False)},
        "ERROR H2",
    ),
    "H4": (
        waiting(),
        denied(503, "guard", Outcome.HANDSHAKE_TIMEOUT, answered_after=20.0, cancelled=True),
        (),
        {},
        "ERROR H4",
    ),
    "H5": (app(CLOSE), denied(403, "app", Outcome.REFUSED, answered_after=1.0), (), {}, "DEBUG H5"),
    "H6": (app(START, BODY, LAST_BODY), denied(401, "app", Outcome.DENIED, answered_after=1.0), (), {}, "DEBUG H6"),
    "H7": (app(START), denied(401, "app", Outcome.DENIED_WITHOUT_BODY, answered_after=1.0), (), {}, "ERROR H7"),
    "H8": (
        app(START, BODY, raises=CRASH),
        denied(401, "app", Outcome.DENIED_IN_PART, answered_after=1.0, **CRASHED),
        (),
        {},
        "ERROR H8",
    ),
    "H9": (
        app(START, LAST_BODY),
        denied(403, "app", Outcome.DENIED_WITHOUT_EXTENSION, answered_after=1.0),
        (),
        {"server": lambda: Timed(denial_extension=False)},
        "WARNING H9",
    ),
    "H10, caught": (
        catching(TEXT, then=(ACCEPT, CLOSE)),
        closed(
            1000,
            "app",
            Outcome.CLOSED,
            violations=(Violation("H10", "the app sent websocket.send while connecting"),),
        ),
        (),
        {},
        "WARNING H10",
    ),
    "H12": (
        listening(),
        denied(None, "client", Outcome.LEFT_UNANSWERED, answered_after=None),
        [(3, leaves)],
        {},
        "DEBUG H12",
    ),
    "H14": (
        app(OTHER, CLOSE),
        closed(
            1000,
            "app",
            Outcome.CLOSED,
            answered_after=1.0,
            violations=(Violation("H14", "the app accepted with subprotocol 'other'"),),
        ),
        (),
        {},
        "WARNING H14",
    ),
    "H14, and raises": (
        app(OTHER, then=3, raises=CRASH),
        closed(
            1011,
            "guard",
            Outcome.RAISED,
            answered_after=1.0,
            open_for=3.0,
            violations=(Violation("H14", "the app accepted with subprotocol 'other'"),),
            **CRASHED,
        ),
        (),
        {},
        "ERROR O2",
    ),
    "O1": (
        app(ACCEPT, then=5),
        closed(1000, "guard", Outcome.RETURNED, answered_after=1.0, open_for=5.0),
        (),
        {},
        "DEBUG O1",
    ),
    "O2, of a group": (
        app(ACCEPT, raises=ExceptionGroup("several", [CRASH, CRASH])),
        closed(1011, "guard", Outcome.RAISED, answered_after=1.0, **CRASHED),
        (),
        {},
        "ERROR O2",
    ),
    "O2, refused": (
        app(ACCEPT, raises=CRASH),
        closed(None, "guard", Outcome.RAISED, answered_after=1.0, **CRASHED),
        (),
        {"server": lambda: Timed(refused_codes=[1011])},
        "ERROR O2",
    ),
    "O4": (
        app(ACCEPT, TEXT, {**CLOSE, "code": 4001, "reason": "bye"}, then=2),
        closed(4001, "app", Outcome.CLOSED, answered_after=1.0, close_reason="bye"),
        (),
        {},
        "DEBUG O4",
    ),
    "O9": (
        app(ACCEPT, {"type": "websocket.send"}),
        closed(
            1011,
            "guard",
            Outcome.RAISED,
            answered_after=1.0,
            violations=(Violation("O9", "the app sent websocket.send with no data"),),
            error_type="asgi_wsguard.exceptions.ProtocolViolation",
            error="ProtocolViolation [O9]: the app sent websocket.send with no data",
        ),
        (),
        {},
        "ERROR O2",
    ),
    "O12": (
        app(ACCEPT, CLOSE, then=20),
        closed(1000, "app", Outcome.OUTLIVED, answered_after=1.0, cancelled=True),
        (),
        {},
        "WARNING O12",
    ),
    "O13": (
        listening(ACCEPT),
        closed(1001, "guard", Outcome.IDLE_TIMEOUT, open_for=8.5),
        (),
        {"idle_timeout": 8},
        "DEBUG O13",
    ),
    "O14, and raises": (
        listening(ACCEPT, raises=CRASH),
        closed(1001, "guard", Outcome.RAISED_AFTERWARDS, open_for=8.0, **CRASHED),
        (),
        {"max_lifetime": 8},
        "ERROR O2",
    ),
    "E2": (
        listening(ACCEPT, raises=ClientDisconnected()),
        closed(4002, "client", Outcome.LEFT, open_for=3.0, close_reason="tea"),
        [(3, lambda server: server.client_leaves(4002, "tea"))],
        {},
        "DEBUG E2",
    ),
    "E4": (
        app(ACCEPT),
        closed(None, "guard", Outcome.RETURNED, answered_after=1.0, open_for=5.0),
        (),
        {"server": Blocked},
        "WARNING E4",
    ),
    "raises after the client left": (
        listening(ACCEPT, raises=CRASH),
        closed(1005, "client", Outcome.RAISED_AFTERWARDS, open_for=3.0, **CRASHED),
        [(3, leaves)],
        {},
        "ERROR O2",
    ),
}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "asgi_wsguard")
    return caplog


def without_places(report: ConnectionReport) -> ConnectionReport:
    """Return the report without the lines of the app's, which change with this file."""
    violations = tuple(violation._replace(where="") for violation in report.violations)
    return replace(report, where="", violations=violations)


@pytest.mark.parametrize("case", CASES)
@in_virtual_time
async def test_e1_one_report_and_one_line(case: str, log: pytest.LogCaptureFixture) -> None:
    app, expected, events, options, line = CASES[case]
    server = options.get("server", Timed)()
    reports, others = Reports(), Reports()
    options = {name: value for name, value in options.items() if name != "server"}
    await serve(app, *events, server=server, observers=[reports, others], **options)
    (report,) = reports
    assert without_places(report) == expected
    assert others == reports
    (record,) = log.records
    level, clause = line.split()
    assert record.levelname == level
    assert record.getMessage().startswith(f"[wsguard-{clause}] '/ws': ")
    assert record.exc_info is None  # the server logs the exception that goes on
    assert "secret" not in record.getMessage()
    assert (level == "DEBUG") == (report.where == "" and not report.violations)


@in_virtual_time
async def test_e1_a_cancelled_app(log: pytest.LogCaptureFixture) -> None:
    for messages, outcome, status, code in (
        ((), Outcome.CANCELLED_UNANSWERED, 503, None),
        ((ACCEPT,), Outcome.CANCELLED, None, 1012),
    ):
        reports = Reports()
        await serve(waiting(*messages), (2, Timed.stops), observers=[reports])
        (report,) = reports
        assert (report.outcome, report.status, report.close_code) == (outcome, status, code)
        assert (report.closed_by, report.cancelled, report.error) == ("guard", False, "")


def test_the_report_is_frozen_and_small() -> None:
    assert pickle.loads(pickle.dumps(REPORT)) == REPORT
    with pytest.raises(FrozenInstanceError):
        REPORT.path = "/other"  # type: ignore[misc]
    assert not hasattr(REPORT, "__dict__")


def test_outcomes_cover_the_clauses() -> None:
    assert len({outcome.value for outcome in Outcome}) == len(Outcome)
    assert {outcome for outcome in Outcome if outcome not in DEEDS} == set()


# Log lines


@pytest.mark.parametrize(
    "path", ["/a\nERROR b", "/a\x1b[2J", "/a\u202eb", "/a'; the client was told 200", "/\ud800", "/" + "a" * 5000]
)
@in_virtual_time
async def test_a_path_cannot_break_the_line(path: str, log: pytest.LogCaptureFixture) -> None:
    server, reports = Timed(), Reports()
    server.scope["path"] = path
    await serve(app(), server=server, observers=[reports])
    assert reports[0].path == path
    (record,) = log.records
    line = record.getMessage()
    assert line.isprintable()
    assert len(line) < 500
    assert line.startswith(f"[wsguard-H1] {path[:199]!r}"[:190])
    assert line.endswith("; the client was told 500")
    assert record.ws_path.isprintable()  # type: ignore[attr-defined]


@in_virtual_time
async def test_what_else_comes_from_elsewhere_cannot_break_the_line(log: pytest.LogCaptureFixture) -> None:
    class Rude(ValueError):
        def __repr__(self) -> str:
            return "rude\r\n\x1b[31m"

    class RudeServer(Timed):
        async def send(self, message: Any) -> None:
            raise Rude

    await serve(app({"type": "websocket.accept\n"}))
    await serve(app(), server=RudeServer())
    assert [record.levelname for record in log.records] == ["ERROR", "ERROR"]
    assert all(record.getMessage().isprintable() for record in log.records)
    assert "rude\\r\\n\\x1b[31m" in log.records[1].getMessage()


@in_virtual_time
async def test_what_is_noted_is_not_as_long_as_what_was_sent(log: pytest.LogCaptureFixture) -> None:
    reports = Reports()
    await serve(catching({"type": "x" * 1_000_000}, [ACCEPT]), observers=[reports])
    (report,) = reports
    assert len(report.violations[0].what) == 500
    assert len(log.records[0].getMessage()) < 1000


@in_virtual_time
async def test_the_report_is_in_the_fields_of_the_record(log: pytest.LogCaptureFixture) -> None:
    reports = Reports()
    server = Timed(subprotocols=["chat"])
    await serve(app(OTHER, raises=CRASH), server=server, observers=[reports])
    (record,), (report,) = log.records, reports
    fields = {name[3:]: value for name, value in vars(record).items() if name.startswith("ws_")}
    assert fields.pop("signature") == "wsguard-O2"
    assert fields.pop("outcome") == "raised"
    assert fields.pop("violations") == [str(report.violations[0])]
    assert fields == {name: getattr(report, name) for name in fields}
    assert set(fields) == set(ConnectionReport.__slots__) - {"outcome", "violations"}
    line = record.getMessage()
    assert "raised AppError on an open websocket" in line
    assert "Before that the app accepted with subprotocol 'other'" in line
    json.dumps(fields)


@pytest.mark.anyio
async def test_no_line_is_made_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("asgi_wsguard"), "level", logging.CRITICAL)
    monkeypatch.setattr(Connection, "_made", None)
    await StrictServer("/ws").run(WebSocketGuardMiddleware(sending()))


# Observers


class Gate:
    """An observer that cannot go on until it is let."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.reports: list[ConnectionReport] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, report: ConnectionReport) -> None:
        self.open.wait(60)
        self.threads.append(threading.current_thread())
        self.reports.append(report)


@pytest.mark.anyio
async def test_a_plain_function_is_called_in_a_thread() -> None:
    gate, reports = Gate(), Reports()
    guarded = WebSocketGuardMiddleware(sending(ACCEPT), observers=[gate, reports])
    async with anyio.create_task_group() as group:
        server = StrictServer("/ws")
        group.start_soon(server.run, guarded)
        other = StrictServer("/other")
        group.start_soon(other.run, guarded)
        while not (server.client.ended and other.client.ended):  # the loop is free, and the clients have their answers
            await anyio.sleep(0)
        gate.open.set()
    assert sorted(report.path for report in gate.reports) == ["/other", "/ws"]
    assert threading.main_thread() not in gate.threads
    assert len(reports) == 2


@pytest.mark.anyio
async def test_threads_that_hang_do_not_pile_up(log: pytest.LogCaptureFixture) -> None:
    gate, called = threading.Event(), []

    def hangs(report: ConnectionReport) -> None:
        called.append(report)
        gate.wait(60)

    guarded = WebSocketGuardMiddleware(sending(ACCEPT, CLOSE), observers=[hangs], close_timeout=0.3)
    try:
        for _ in range(10):
            await StrictServer("/ws").run(guarded)
    finally:
        gate.set()
    assert len(called) == THREADS
    warnings = [record.getMessage() for record in log.records if record.levelname == "WARNING"]
    assert sum(line.endswith(" took more than 0.3 s; left to itself") for line in warnings) == THREADS
    assert sum(line.endswith(" is not called: 4 calls hang already") for line in warnings) == 10 - THREADS


@pytest.mark.parametrize(
    ("client", "text"), [(None, ""), (("h", 1), "h:1"), (["h", None], "h:None"), ("unix", ""), (7, "")]
)
@in_virtual_time
async def test_a_client_of_any_kind(client: Any, text: str) -> None:
    server, reports = Timed(), Reports()
    server.scope["client"] = client
    await serve(app(), server=server, observers=[reports])
    assert reports[0].client == text


@in_virtual_time
async def test_an_observer_that_raises_harms_nobody(log: pytest.LogCaptureFixture) -> None:
    async def raises(report: ConnectionReport) -> None:
        raise AppError("observer")

    reports = Reports()
    server = await serve(app(ACCEPT, CLOSE), observers=[raises, reports])
    assert server.client.close_code == 1000
    assert server.error is None
    assert len(reports) == 1
    (record,) = (record for record in log.records if record.levelname == "ERROR")
    assert record.getMessage().startswith("[wsguard-E1] the observer <function ")
    assert record.exc_info is not None


@pytest.mark.parametrize("error", [asyncio.CancelledError, SystemExit])
@in_virtual_time
async def test_no_exception_of_an_observer_keeps_the_report_from_others(error: Any) -> None:
    async def raises(report: ConnectionReport) -> None:
        raise error

    reports = Reports()
    server = await serve(app(ACCEPT, CLOSE), observers=[raises, reports])
    assert server.error is None
    assert len(reports) == 1


@in_virtual_time
async def test_an_observer_that_hangs_is_left_to_itself(log: pytest.LogCaptureFixture) -> None:
    async def hangs(report: ConnectionReport) -> None:
        await anyio.sleep_forever()

    reports = Reports()
    server = await serve(app(ACCEPT, CLOSE), observers=[hangs, reports], close_timeout=3)
    assert server.ended_at == 4
    assert len(reports) == 1
    (record,) = (record for record in log.records if record.levelname == "WARNING")
    assert record.getMessage().endswith(" took more than 3 s; left to itself")


@in_virtual_time
async def test_a_cancellation_waits_for_the_observer() -> None:
    heard: list[float] = []

    async def slow(report: ConnectionReport) -> None:
        await anyio.sleep(2)
        heard.append(anyio.current_time())

    server = await serve(app(ACCEPT, CLOSE), (2, Timed.stops), observers=[slow])
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

    server = await serve(stubborn, observers=[slow])
    assert heard == [(11, Outcome.OUTLIVED) if messages else (21, Outcome.HANDSHAKE_TIMEOUT)]
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
    await serve(app(*messages), observers=[counting, Reports()])
    assert len(counting.open) == opened == sum(report.open_for is not None for report in counting)


@in_virtual_time
async def test_the_route_of_an_open_websocket_stays_what_it_was(log: pytest.LogCaptureFixture) -> None:
    async def moves(scope: Any, receive: Any, send: Any) -> None:
        scope["path_template"] = "/{first}"
        await send(ACCEPT)
        scope["path_template"] = "/{then}"

    counting = Counting()
    await serve(moves, observers=[counting])
    assert counting.open == ["/{first}"] == [report.route for report in counting]


class Prompt(Gate):
    """A plain function that never waits."""

    waits = False

    def __init__(self) -> None:
        super().__init__()
        self.open.set()


@pytest.mark.anyio
async def test_an_observer_that_does_not_wait_is_run_where_it_is() -> None:
    prompt, reports = Prompt(), Reports()
    await StrictServer("/ws").run(WebSocketGuardMiddleware(sending(ACCEPT, CLOSE), observers=[prompt, reports]))
    assert prompt.reports == reports
    assert prompt.threads == [threading.current_thread()]


@in_virtual_time
async def test_an_observer_that_waits_though_it_says_otherwise(log: pytest.LogCaptureFixture) -> None:
    class Waiting:
        waits = False

        async def __call__(self, report: ConnectionReport) -> None:
            await anyio.sleep(1)

    reports = Reports()
    server = await serve(app(ACCEPT, CLOSE), observers=[Waiting(), reports])
    assert (server.ended_at, len(reports)) == (1, 1)
    (record,) = (record for record in log.records if record.levelname == "ERROR")
    assert record.getMessage().startswith("[wsguard-E1] the observer ")
    assert record.getMessage().endswith(" has waits=False, but waits; it was cut short")


@in_virtual_time
async def test_an_accept_that_is_cancelled_counts(log: pytest.LogCaptureFixture) -> None:
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
    await serve(app(ACCEPT), (1.5, Timed.stops), server=Slow(), observers=[raising])
    assert len(raising.open) == sum(report.open_for is not None for report in raising) == 1
    assert any(record.getMessage().startswith("[wsguard-E1] ") for record in log.records)


@in_virtual_time
async def test_an_accept_that_the_server_is_still_at_when_all_is_over() -> None:
    """Neither an HTTP status of 1001, nor a websocket counted in that nobody counts out."""

    class Slow(Timed):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if message["type"] == ACCEPT["type"]:
                await anyio.sleep(5)

    counting = Counting()
    await serve(app(ACCEPT), server=Slow(), observers=[counting], max_lifetime=1, exit_timeout=1)
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
    messages: Any, outcome: Outcome, status: int | None, log: pytest.LogCaptureFixture
) -> None:
    gate, reports = Gate(), Reports()
    gate.open.set()

    async def hangs(report: ConnectionReport) -> None:
        await anyio.sleep_forever()

    async def raises(report: ConnectionReport) -> None:
        raise AppError

    async def main() -> None:
        guarded = WebSocketGuardMiddleware(waiting(*messages), observers=[gate, hangs, raises, reports])
        call = StrictServer("/ws").run(guarded)
        call.send(None)
        call.close()

    asyncio.run(main())
    (report,) = reports
    assert gate.reports == reports
    assert (report.outcome, report.status, report.close_code) == (outcome, status, None)
    assert report.closed_by == ("app" if status else "")
    assert sum(record.getMessage().startswith("[wsguard-E1] ") for record in log.records) == 1


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


# The text of an error


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError


LONG = ValueError("b\x1b[J " + "long " * 40)
REFUSED = OSError(111, "Connect call failed ('127.0.0.1', 6379)")
VIOLATION = ProtocolViolation("O9", "the app sent nothing", "data")


@pytest.mark.parametrize(
    ("exc", "kind", "text"),
    [
        (KeyError("user 7"), "KeyError", "KeyError: '…'"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError("  no room 12 for 3fa8-11\nmore"), "ValueError", "ValueError: no room # for #"),
        (REFUSED, "ConnectionRefusedError", "ConnectionRefusedError: [Errno # Connect call failed ('…', #"),
        (ValueError("a\x1b[2J b"), "ValueError", "ValueError: # b"),
        (LONG, "ValueError", f"ValueError: b\\x1b[J {'long ' * 20}"[:79] + "…"),
        (Silent(), "test_report.Silent", "Silent"),
        (ExceptionGroup("two", [ExceptionGroup("one", [KeyError()]), ValueError()]), "KeyError", "KeyError"),
        (VIOLATION, "asgi_wsguard.exceptions.ProtocolViolation", "ProtocolViolation [O9]: the app sent nothing"),
    ],
)
def test_a_stable_text_for_an_error(exc: BaseException, kind: str, text: str) -> None:
    assert type_of(exc) == kind
    assert text_of(exc) == text


def test_a_long_text_of_an_error_costs_no_time() -> None:
    # Some seconds, were the time to grow with the square of the length; and the event loop would wait.
    began = time.perf_counter()
    assert text_of(ValueError("no " + "room" * 1_000_000)) == f"ValueError: no {'room' * 20}"[:79] + "…"
    assert time.perf_counter() - began < 10


def test_printable() -> None:
    assert printable("plain ü") == "plain ü"
    assert printable("a\nü\x1b\u2028") == "a\\nü\\x1b\\u2028"
