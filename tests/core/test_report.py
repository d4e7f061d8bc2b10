"""E1: one report for each connection, and at most one log line, which nothing that a client sends can break."""

from __future__ import annotations

import json
import logging
import pickle
import sys
import time
from dataclasses import FrozenInstanceError, replace
from functools import partial
from typing import Any

import pytest

from asgi_wsguard import (
    ClientDisconnected,
    ConnectionReport,
    Outcome,
    ProtocolViolation,
    Violation,
    WebSocketGuardMiddleware,
)
from asgi_wsguard.connection.record import Record
from asgi_wsguard.report.error import text_of, type_of
from asgi_wsguard.report.log import SENTENCES
from asgi_wsguard.report.printable import printable
from asgi_wsguard.testing import StrictServer
from harness.apps import AppError, disconnected, sending, slow_app, waiting
from harness.clock import in_virtual_time
from harness.messages import ACCEPT, BODY, CLOSE, LAST_BODY, OTHER, START, TEXT
from harness.reports import LEFT, Reports
from harness.timed import Blocked, Timed, leaves, serve

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
CRASHED = {"error_type": "harness.apps.AppError", "error": "AppError: room '…' of #"}
CRASH = AppError("room 'lobby' of 12\nsecret")


def closed(code: int | None, by: str, outcome: Outcome, **more: Any) -> ConnectionReport:
    return replace(REPORT, close_code=code, closed_by=by, outcome=outcome, **more)


def denied(status: int | None, by: str, outcome: Outcome, **more: Any) -> ConnectionReport:
    return replace(REPORT, status=status, close_code=None, open_for=None, closed_by=by, outcome=outcome, **more)


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
    "H1": (slow_app(), denied(500, "guard", Outcome.RETURNED_UNANSWERED, answered_after=1.0), (), {}, "ERROR H1"),
    "H2": (
        slow_app(raises=CRASH),
        denied(500, "guard", Outcome.RAISED_UNANSWERED, answered_after=1.0, **CRASHED),
        (),
        {},
        "ERROR H2",
    ),
    "H2, left to the crash path": (
        slow_app(raises=CRASH),
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
    "H5": (slow_app(CLOSE), denied(403, "app", Outcome.REFUSED, answered_after=1.0), (), {}, "DEBUG H5"),
    "H6": (
        slow_app(START, BODY, LAST_BODY),
        denied(401, "app", Outcome.DENIED, answered_after=1.0),
        (),
        {},
        "DEBUG H6",
    ),
    "H7": (slow_app(START), denied(401, "app", Outcome.DENIED_WITHOUT_BODY, answered_after=1.0), (), {}, "ERROR H7"),
    "H8": (
        slow_app(START, BODY, raises=CRASH),
        denied(401, "app", Outcome.DENIED_IN_PART, answered_after=1.0, **CRASHED),
        (),
        {},
        "ERROR H8",
    ),
    "H9": (
        slow_app(START, LAST_BODY),
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
        slow_app(OTHER, CLOSE),
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
        slow_app(OTHER, then=3, raises=CRASH),
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
        slow_app(ACCEPT, then=5),
        closed(1000, "guard", Outcome.RETURNED, answered_after=1.0, open_for=5.0),
        (),
        {},
        "DEBUG O1",
    ),
    "O2, of a group": (
        slow_app(ACCEPT, raises=ExceptionGroup("several", [CRASH, CRASH])),
        closed(1011, "guard", Outcome.RAISED, answered_after=1.0, **CRASHED),
        (),
        {},
        "ERROR O2",
    ),
    "O2, refused": (
        slow_app(ACCEPT, raises=CRASH),
        closed(None, "guard", Outcome.RAISED, answered_after=1.0, **CRASHED),
        (),
        {"server": lambda: Timed(refused_codes=[1011])},
        "ERROR O2",
    ),
    "O4": (
        slow_app(ACCEPT, TEXT, {**CLOSE, "code": 4001, "reason": "bye"}, then=2),
        closed(4001, "app", Outcome.CLOSED, answered_after=1.0, close_reason="bye"),
        (),
        {},
        "DEBUG O4",
    ),
    "O9": (
        slow_app(ACCEPT, {"type": "websocket.send"}),
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
        slow_app(ACCEPT, then=200),
        closed(4002, "client", Outcome.OUTLIVED, open_for=2.0, answered_after=1.0, cancelled=True, close_reason="tea"),
        [(3, lambda server: server.client_leaves(4002, "tea"))],
        {"exit_timeout": 10},
        "WARNING O12",
    ),
    "O16": (
        slow_app(ACCEPT, CLOSE, then=200),
        closed(1000, "app", Outcome.OVERSTAYED, answered_after=1.0, cancelled=True),
        (),
        {"cleanup_timeout": 10},
        "WARNING O16",
    ),
    "O11": (
        slow_app(ACCEPT, {**CLOSE, "code": 1001}),
        closed(
            None,
            "guard",
            Outcome.CLOSE_REFUSED,
            answered_after=1.0,
            error_type="ValueError",
            error="ValueError: this server does not send close code #",
        ),
        (),
        {"server": partial(Timed, refused_codes=[1001, 1011])},
        "ERROR O11",
    ),
    "E2, the server stops": (
        listening(ACCEPT),
        closed(1012, "server", Outcome.STOPPED, open_for=3.0),
        [(3, lambda server: server._arrive({"type": "websocket.disconnect", "code": 1012}))],
        {},
        "DEBUG E2",
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
        slow_app(ACCEPT),
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


def without_places(report: ConnectionReport) -> ConnectionReport:
    """Return the report without the lines of the app's, which change with this file."""
    violations = tuple(violation._replace(where="") for violation in report.violations)
    return replace(report, where="", violations=violations)


@pytest.mark.parametrize("case", CASES)
@in_virtual_time
async def test_e1_one_report_and_one_line(case: str, captured: pytest.LogCaptureFixture) -> None:
    app, expected, events, options, line = CASES[case]
    server = options.get("server", Timed)()
    reports, others = Reports(), Reports()
    options = {name: value for name, value in options.items() if name != "server"}
    await serve(app, *events, server=server, observers=[reports, others], **options)
    (report,) = reports
    assert without_places(report) == expected
    assert others == reports
    (record,) = captured.records
    level, clause = line.split()
    assert record.levelname == level
    assert record.getMessage().startswith(f"[wsguard-{clause}] '/ws': ")
    assert record.exc_info is None  # the server logs the exception that goes on
    assert "secret" not in record.getMessage()
    assert (level == "DEBUG") == (report.where == "" and not report.violations)


@in_virtual_time
async def test_e1_a_cancelled_app(captured: pytest.LogCaptureFixture) -> None:
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
    assert {outcome for outcome in Outcome if outcome not in SENTENCES} == set()


# Log lines


@pytest.mark.parametrize(
    "path", ["/a\nERROR b", "/a\x1b[2J", "/a\u202eb", "/a'. The client got status 200", "/\ud800", "/" + "a" * 5000]
)
@in_virtual_time
async def test_a_path_cannot_break_the_line(path: str, captured: pytest.LogCaptureFixture) -> None:
    server, reports = Timed(), Reports()
    server.scope["path"] = path
    await serve(slow_app(), server=server, observers=[reports])
    assert reports[0].path == path
    (record,) = captured.records
    line = record.getMessage()
    assert line.isprintable()
    assert len(line) < 500
    assert line.startswith(f"[wsguard-H1] {path[:199]!r}"[:190])
    assert line.endswith(". The client got status 500.")
    assert record.ws_path.isprintable()  # type: ignore[attr-defined]


@in_virtual_time
async def test_what_else_comes_from_elsewhere_cannot_break_the_line(captured: pytest.LogCaptureFixture) -> None:
    class Rude(ValueError):
        def __repr__(self) -> str:
            return "rude\r\n\x1b[31m"

    class RudeServer(Timed):
        async def send(self, message: Any) -> None:
            raise Rude

    await serve(slow_app({"type": "websocket.accept\n"}))
    await serve(slow_app(), server=RudeServer())
    assert [record.levelname for record in captured.records] == ["ERROR", "ERROR"]
    assert all(record.getMessage().isprintable() for record in captured.records)
    assert "rude\\r\\n\\x1b[31m" in captured.records[1].getMessage()


@in_virtual_time
async def test_what_is_noted_is_not_as_long_as_what_was_sent(captured: pytest.LogCaptureFixture) -> None:
    reports = Reports()
    await serve(catching({"type": "x" * 1_000_000}, [ACCEPT]), observers=[reports])
    (report,) = reports
    assert len(report.violations[0].what) == 500
    assert len(captured.records[0].getMessage()) < 1000


@in_virtual_time
async def test_the_report_is_in_the_fields_of_the_record(captured: pytest.LogCaptureFixture) -> None:
    reports = Reports()
    server = Timed(subprotocols=["chat"])
    await serve(slow_app(OTHER, raises=CRASH), server=server, observers=[reports])
    (record,), (report,) = captured.records, reports
    fields = {name[3:]: value for name, value in vars(record).items() if name.startswith("ws_")}
    assert fields.pop("signature") == "wsguard-O2"
    assert fields.pop("outcome") == "raised"
    assert fields.pop("violations") == [str(report.violations[0])]
    assert fields == {name: getattr(report, name) for name in fields}
    assert set(fields) == set(ConnectionReport.__slots__) - {"outcome", "violations"}
    line = record.getMessage()
    assert "raised AppError on an open websocket" in line
    assert "Before that, the app accepted with subprotocol 'other'" in line
    json.dumps(fields)


@pytest.mark.anyio
async def test_no_line_is_made_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("asgi_wsguard"), "level", logging.CRITICAL)
    monkeypatch.setattr(Record, "_made", None)
    await StrictServer("/ws").run(WebSocketGuardMiddleware(sending()))


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
        (Silent(), "test_report.Silent", "Silent: <unreadable>"),
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
