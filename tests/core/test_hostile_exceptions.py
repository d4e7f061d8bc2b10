"""Exceptions that raise when they are looked at: the client is told, a report is made, and they come out unchanged."""

from __future__ import annotations

import logging
import sys
import traceback
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from starlette.exceptions import HTTPException, WebSocketException
from starlette.websockets import WebSocketDisconnect

from asgi_wsguard import ClientDisconnected, ConnectionReport, ProtocolViolation, WebSocketGuardMiddleware
from asgi_wsguard.integrations.starlette import answer
from asgi_wsguard.report import error
from asgi_wsguard.report.error import LONGEST, leaves, text_of, type_of
from asgi_wsguard.testing import StrictServer
from harness.clock import run
from harness.messages import ACCEPT, CLOSE

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup, ExceptionGroup


# How each kind is made, and what the client is told before accept and on an open websocket where it can be read.
KINDS: dict[str, Any] = {
    "Exception": lambda kind: kind("x"),
    "OSError": lambda kind: kind(1, "x"),
    "KeyError": lambda kind: kind("x"),
    "BaseException": lambda kind: kind("x"),
    "ExceptionGroup": lambda kind: kind("x", [ValueError("y")]),
    "BaseExceptionGroup": lambda kind: kind("x", [ExceptionGroup("y", [ValueError("z")])]),
    "WebSocketException": lambda kind: kind(4001),
    "HTTPException": lambda kind: kind(401),
    "WebSocketDisconnect": lambda kind: kind(1000),
    "ClientDisconnected": lambda kind: kind("x"),
    "ProtocolViolation": lambda kind: kind("H10", "x", "y"),
}
BASES: dict[str, Any] = {
    "Exception": Exception,
    "OSError": OSError,
    "KeyError": KeyError,
    "BaseException": BaseException,
    "ExceptionGroup": ExceptionGroup,
    "BaseExceptionGroup": BaseExceptionGroup,
    "WebSocketException": WebSocketException,
    "HTTPException": HTTPException,
    "WebSocketDisconnect": WebSocketDisconnect,
    "ClientDisconnected": ClientDisconnected,
    "ProtocolViolation": ProtocolViolation,
}
ANSWERS = ("WebSocketException", "HTTPException")
QUIET_AFTERWARDS = ("WebSocketDisconnect", "ClientDisconnected")
ATTRIBUTES = (
    *("args", "exceptions", "code", "reason", "headers", "status_code", "detail", "clause", "what"),
    *("__class__", "__traceback__", "__cause__", "__context__", "__dict__", "__notes__"),
)
METHODS = (
    *("__str__", "__repr__", "__format__", "__getattr__", "__getattribute__", "__eq__", "__hash__", "__bool__"),
    *("__len__", "__iter__", "__reduce__"),
)
ODD = (
    None,
    0,
    -1,
    "4001",
    "",
    b"x",
    {},
    {"a": 1},
    {1, 2},
    [],
    (),
    3.5,
    object(),
    "a\r\nb" * 1000,
    "\ud800",
    {b"x": b"y"},
    {"x": "a\r\nb"},
    {"x": None},
)


class Own(BaseException):
    """What the hostile raise that mean it."""


errors = st.sampled_from([ValueError, AttributeError, KeyError, RecursionError, StopIteration, Own, SystemExit])
# What is raised, or else what is returned.
answers = st.one_of(st.tuples(errors, st.none()), st.tuples(st.none(), st.sampled_from(ODD)))
attributes = st.dictionaries(st.sampled_from(ATTRIBUTES), answers)
methods = st.dictionaries(st.sampled_from(METHODS), answers)


def hostile(kind: str, attributes: dict[str, Any], methods: dict[str, Any]) -> BaseException:
    def answer(error: Any, value: Any) -> Any:
        def answers(*_: Any) -> Any:
            if error is not None:
                raise error
            return value

        return answers

    own = {name: property(answer(*odd)) for name, odd in attributes.items()}
    own.update({name: answer(*odd) for name, odd in methods.items()})
    exc: BaseException = KINDS[kind](type("Plain", (BASES[kind],), {}))
    exc.__class__ = type("Hostile", (BASES[kind],), own)  # once it is made
    return exc


async def end(exc: BaseException, when: str, **options: Any) -> tuple[StrictServer, list[ConnectionReport], Any]:
    """Run an app that raises it, and return what came out, too."""
    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if when != "unanswered":
            await send(ACCEPT)
        if when == "closed":
            await send(CLOSE)
        raise exc

    server = StrictServer()
    out: Any = None
    try:
        await WebSocketGuardMiddleware(app, observers=[observe], **options)(server.scope, server.receive, server.send)
    except BaseException as raised:
        out = raised
    return server, reports, out


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@given(
    kind=st.sampled_from([*KINDS]),
    attributes=attributes,
    methods=methods,
    when=st.sampled_from(["unanswered", "open", "closed"]),
)
@example(kind="Exception", attributes={"exceptions": (None, {"a": 1})}, methods={}, when="unanswered")
@example(kind="Exception", attributes={"exceptions": (None, {1, 2})}, methods={}, when="open")
@example(kind="Exception", attributes={"__class__": (ValueError, None)}, methods={}, when="closed")
@example(kind="WebSocketException", attributes={"code": (None, "4001")}, methods={}, when="open")
@example(kind="WebSocketException", attributes={"reason": (None, 3)}, methods={}, when="open")
@example(kind="HTTPException", attributes={"headers": (None, {b"x": b"y"})}, methods={}, when="unanswered")
def test_any(backend: str, kind: str, attributes: Any, methods: Any, when: str) -> None:
    async def test() -> None:
        exc = hostile(kind, attributes, methods)
        server, reports, out = await end(exc, when)
        same = out is exc
        other = "" if same or out is None else f"{type(out)} {traceback.format_tb(out.__traceback__)}"
        assert other == ""  # pytest would look at the exceptions
        assert server.violations == []
        (report,) = reports
        assert all(type(getattr(report, name)) is str for name in ("error", "error_type", "where"))
        if when == "unanswered":
            assert server.client.denial is not None
            assert server.client.denial.status == (500 if same else report.status)
        elif when == "open":
            assert server.client.close_code == (1011 if same else report.close_code)
        if out is None:
            assert kind in (QUIET_AFTERWARDS if when == "closed" else ANSWERS)
        elif when != "closed":
            assert report.outcome.clause == ("H2" if when == "unanswered" else "O2")

    run(backend, test)


class Unreadable(Exception):
    def __str__(self) -> str:
        raise ValueError


class Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__qualname__", "__name__"):
            raise Own
        return super().__getattribute__(name)


class Nameless(Exception, metaclass=Meta): ...


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("exc", "error_type", "error"),
    [
        (Unreadable(), f"{__name__}.Unreadable", "Unreadable: <unreadable>"),
        (Nameless("x"), "<unreadable>", "<unreadable>: x"),
        (ExceptionGroup("", [Unreadable()]), f"{__name__}.Unreadable", "Unreadable: <unreadable>"),
    ],
)
def test_what_cannot_be_read(backend: str, exc: Any, error_type: str, error: str, caplog: Any) -> None:
    async def test() -> None:
        server, reports, out = await end(exc, "unanswered")
        assert (out, server.client.denial.status) == (exc, 500)  # type: ignore[union-attr]
        assert [(report.outcome.clause, report.error_type, report.error) for report in reports] == [
            ("H2", error_type, error)
        ]

    with caplog.at_level(logging.DEBUG, "asgi_wsguard"):
        run(backend, test)
    (record,) = caplog.records
    assert record.ws_error == error
    if error_type == "<unreadable>":
        assert "The app raised <unreadable> before" in record.getMessage()


@pytest.mark.parametrize(
    "exc",
    [
        WebSocketException("4001"),  # type: ignore[arg-type]
        WebSocketException(None),  # type: ignore[arg-type]
        WebSocketException(True),
        HTTPException("401", "no"),  # type: ignore[arg-type]
        HTTPException(99, "no"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_answer_that_cannot_be_sent_is_a_crash(backend: str, exc: Any) -> None:
    async def test() -> None:
        server, (report,), out = await end(exc, "unanswered")
        assert out is exc
        assert (report.outcome.clause, report.status) == ("H2", 500)
        assert server.client.denial is not None

    run(backend, test)


def test_a_keyboard_interrupt_is_never_swallowed() -> None:
    """It is the user's, who wants the program to end, and may come at any line."""

    class Interrupted(WebSocketException):
        def __str__(self) -> str:
            raise KeyboardInterrupt

        @property
        def code(self) -> int:  # type: ignore[override]
            raise KeyboardInterrupt

        @code.setter
        def code(self, code: int) -> None: ...

    with pytest.raises(KeyboardInterrupt):
        text_of(Interrupted(1000))

    with pytest.raises(KeyboardInterrupt):
        answer(Interrupted(1000), accepted=True)


def test_groups_as_deep_as_they_may_be() -> None:
    exc: Exception = ValueError("innermost")
    for _ in range(5000):
        exc = ExceptionGroup("", [exc])
    assert type_of(exc) == "ValueError"
    assert [*map(str, leaves(exc))] == ["innermost"]
    one, two, three = ValueError(1), KeyError(2), OSError(3)
    assert leaves(ExceptionGroup("", [one, ExceptionGroup("", [two]), three])) == [one, two, three]


def test_a_text_of_any_length_is_cut() -> None:
    assert len(text_of(ValueError("word " * 10_000))) == LONGEST


@pytest.mark.parametrize("raises", [ValueError, KeyboardInterrupt])
def test_a_group_of_the_backports_that_cannot_be_read(raises: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads an attribute of itself, before Python 3.11."""

    class Group(Exception):
        @property
        def exceptions(self) -> Any:
            raise raises

    monkeypatch.setattr(error, "_Group", Group)
    exc = Group()
    if raises is KeyboardInterrupt:
        with pytest.raises(KeyboardInterrupt):
            error.leaves(exc)
    else:
        assert error.leaves(exc) == [exc]
