"""Filters, handlers, formatters and observers that raise: the connection, and the server, do not see it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import anyio
import pytest

from asgi_wsguard import ConnectionReport, Drainer, WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time
from harness.messages import ACCEPT, CLOSE


class Own(BaseException):
    """Harder to catch."""


class Handler(logging.Handler):
    def handle(self, record: logging.LogRecord) -> Any:
        raise Own


class Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        raise ValueError


class EmitsWithoutCare(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        self.format(record)


@pytest.fixture(params=["filter", "handler", "formatter", "cancelled"])
def hostile_logging(request: pytest.FixtureRequest) -> Iterator[None]:
    logger = logging.getLogger("asgi_wsguard")
    level = logger.level
    handler: logging.Handler = Handler() if request.param == "handler" else EmitsWithoutCare()
    handler.setFormatter(Formatter())

    def hostile(record: logging.LogRecord) -> bool:
        raise asyncio.CancelledError if request.param == "cancelled" else ValueError

    filters = [hostile] if request.param in ("filter", "cancelled") else []
    logger.addHandler(handler)
    for one in filters:
        logger.addFilter(one)
    logger.setLevel(logging.DEBUG)
    yield
    logger.setLevel(level)
    for one in filters:
        logger.removeFilter(one)
    logger.removeHandler(handler)


async def end(app: Any, **options: Any) -> tuple[StrictServer, list[ConnectionReport], BaseException | None]:
    reports: list[ConnectionReport] = []

    class Observer:
        def __call__(self, report: ConnectionReport) -> None:
            reports.append(report)

    observers = [*options.pop("observers", ()), Observer()]
    server = StrictServer()
    out: BaseException | None = None
    guarded = WebSocketGuardMiddleware(app, observers=observers, cleanup_timeout=60, **options)
    try:
        await guarded(server.scope, server.receive, server.send)
    except BaseException as raised:
        out = raised
    return server, reports, out


ERROR = KeyError("the app's own")


async def raises(scope: Any, receive: Any, send: Any) -> None:
    await send(ACCEPT)
    raise ERROR


async def returns(scope: Any, receive: Any, send: Any) -> None: ...


async def never(scope: Any, receive: Any, send: Any) -> None:
    await anyio.sleep_forever()


async def outlives(scope: Any, receive: Any, send: Any) -> None:
    await send(ACCEPT)
    await send(CLOSE)
    await anyio.sleep_forever()


APPS = [(raises, "O2"), (returns, "H1"), (never, "H4"), (outlives, "O16")]


@pytest.mark.usefixtures("hostile_logging")
@pytest.mark.parametrize(("app", "clause"), APPS)
@in_virtual_time
async def test_logging_that_raises(app: Any, clause: str, capsys: pytest.CaptureFixture[str]) -> None:
    server, reports, out = await end(app)
    assert out is (ERROR if app is raises else None)
    assert [report.outcome.clause for report in reports] == [clause]
    assert server.client.denial is not None or server.client.close_code is not None
    told = capsys.readouterr().err
    assert told.startswith("--- Logging error ---\nTraceback")
    assert f"Message: [wsguard-{clause}] '/': " in told


@pytest.mark.usefixtures("hostile_logging")
@in_virtual_time
async def test_logging_that_raises_where_nobody_wants_to_know(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    _, (report,), out = await end(returns)
    assert (out, report.status, capsys.readouterr().err) == (None, 500, "")


@pytest.mark.usefixtures("hostile_logging")
@in_virtual_time
async def test_a_drain_with_logging_that_raises() -> None:
    drainer = Drainer(grace=0, spread=0)
    async with anyio.create_task_group() as group:
        group.start_soon(end, outlives)
        await anyio.wait_all_tasks_blocked()
        assert (await drainer.drain()).closed == 0
        group.cancel_scope.cancel()


def interrupting(record: logging.LogRecord) -> bool:
    raise KeyboardInterrupt


def test_a_keyboard_interrupt_is_the_users() -> None:
    from asgi_wsguard.report.log import logger, safe_log

    logger.addFilter(interrupting)
    try:
        with pytest.raises(KeyboardInterrupt):
            safe_log(logging.ERROR, "[wsguard-E1] x")
    finally:
        logger.removeFilter(interrupting)


# Observers


class Counting:
    """A back end of metrics that fails."""

    waits = False

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __repr__(self) -> str:
        raise self.error

    def opened(self, route: str) -> None:
        raise self.error

    def __call__(self, report: ConnectionReport) -> None:
        raise self.error


class Waiting(Counting):
    async def __call__(self, report: ConnectionReport) -> None:  # type: ignore[override]
        raise self.error


class RaisesInTheEnd:
    """It has had its time, and raises as it is told."""

    async def __call__(self, report: ConnectionReport) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            raise ValueError


ERRORS = [ValueError, Own, SystemExit, asyncio.CancelledError]
OBSERVERS = [RaisesInTheEnd(), *(kind(error) for kind in (Counting, Waiting) for error in ERRORS)]


@pytest.mark.parametrize("observer", OBSERVERS, ids=lambda observer: type(observer).__name__)
@pytest.mark.parametrize(("app", "clause"), APPS)
@in_virtual_time
async def test_observers_that_raise(observer: Any, app: Any, clause: str) -> None:
    _, reports, out = await end(app, observers=[observer])
    assert out is (ERROR if app is raises else None)
    assert [report.outcome.clause for report in reports] == [clause]


class Interrupting(Counting):
    def __init__(self) -> None:
        super().__init__(KeyboardInterrupt)


def test_a_keyboard_interrupt_in_an_observer_is_the_users() -> None:
    from asgi_wsguard.observers import Observers

    observers = Observers([Interrupting()])
    with pytest.raises(KeyboardInterrupt):
        observers.count("opened", "/")
    with pytest.raises(KeyboardInterrupt):
        observers.tell(None)  # type: ignore[arg-type]
