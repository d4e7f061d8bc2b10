"""What the user hands in may do anything, and the client still gets its answer (12.1): a denial, a scope, a path."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from asgi_wsguard import ConnectionReport, DenialResponse, Drainer, WebSocketGuardMiddleware
from asgi_wsguard.report import lines
from asgi_wsguard.report.route import route_of
from asgi_wsguard.testing import StrictServer

LONG = "/" + "x" * 10_000


class Own(BaseException):
    """Not an `Exception`."""


async def returns(scope: Any, receive: Any, send: Any) -> None:
    """Answer nothing."""


class Raising(DenialResponse):
    def messages(self) -> Any:
        raise Own


class Odd(DenialResponse):
    def messages(self) -> Any:
        start, body = super().messages()
        return {**start, "headers": [(b"bad name", b"\r\n")]}, body


class Short(DenialResponse):
    def messages(self) -> Any:
        return super().messages()[:1]


@pytest.mark.parametrize("denial", [Raising, Odd, Short])
@pytest.mark.anyio
async def test_h1_a_denial_that_cannot_be_sent(denial: type[DenialResponse], caplog: pytest.LogCaptureFixture) -> None:
    reports: list[ConnectionReport] = []
    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(returns, denial=denial(418), observers=[reports.append]))
    assert server.violations == []
    assert server.client.denial is not None
    assert server.client.denial.status == 500
    assert [report.status for report in reports] == [500]
    assert f"the denial response of class {denial.__name__} cannot be sent" in caplog.text


class Interrupted(DenialResponse):
    """The user presses Ctrl+C while it is asked."""

    def messages(self) -> Any:
        raise KeyboardInterrupt


class InterruptedScope(dict[str, Any]):
    def get(self, key: str, default: Any = None) -> Any:
        raise KeyboardInterrupt

    __contains__ = get


def test_a_keyboard_interrupt_is_the_users() -> None:
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(StrictServer().run(WebSocketGuardMiddleware(returns, denial=Interrupted(418))))
    with pytest.raises(KeyboardInterrupt):
        route_of(InterruptedScope(), "/ws", returns)
    with pytest.raises(KeyboardInterrupt):
        lines.of_app(InterruptedScope(), returns)


class Unreadable:
    def __getattr__(self, name: str) -> Any:
        raise Own

    def __str__(self) -> str:
        raise Own


@pytest.mark.parametrize(
    "key", ["route", "endpoint", "path_params", "path_template", "root_path", "url_route", "client"]
)
@pytest.mark.anyio
async def test_e1_a_scope_that_cannot_be_read(key: str) -> None:
    reports: list[ConnectionReport] = []

    async def writes(scope: Any, receive: Any, send: Any) -> None:
        scope[key] = Unreadable()

    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(writes, observers=[reports.append]))
    assert server.violations == []
    assert server.client.denial is not None
    assert [report.status for report in reports] == [500]


@pytest.mark.anyio
async def test_e1_every_text_of_the_extras_is_cut(caplog: pytest.LogCaptureFixture) -> None:
    await StrictServer(LONG).run(WebSocketGuardMiddleware(returns))
    (record,) = (record for record in caplog.records if record.name == "asgi_wsguard")
    texts = [value for name, value in vars(record).items() if name.startswith("ws_") and isinstance(value, str)]
    assert record.ws_path.startswith("/xxx")  # type: ignore[attr-defined]
    assert max(map(len, texts)) == 200


async def raises_as_it_is_told(report: ConnectionReport) -> None:
    raise ValueError


@pytest.mark.anyio
async def test_every_line_has_its_signature(caplog: pytest.LogCaptureFixture) -> None:
    """D1, D4, E1: as those of connections have."""
    caplog.set_level(logging.INFO, "asgi_wsguard")
    drainer = Drainer()
    await drainer.drain(grace=0, spread=0)
    drainer.resume()
    await StrictServer().run(WebSocketGuardMiddleware(returns, drainer=drainer, observers=[raises_as_it_is_told]))
    records = [record for record in caplog.records if record.name == "asgi_wsguard"]
    assert {"wsguard-D1", "wsguard-D4", "wsguard-E1", "wsguard-H1"} == {
        record.ws_signature  # type: ignore[attr-defined]
        for record in records
    }
    assert all(record.getMessage().startswith(f"[{record.ws_signature}] ") for record in records)  # type: ignore[attr-defined]
