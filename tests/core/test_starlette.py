"""Starlette's exceptions, known without being required (E2, H2, O2)."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from asgi_wsguard import WebSocketGuardMiddleware, integrations
from asgi_wsguard.testing import StrictServer

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

pytestmark = pytest.mark.anyio


def raising(exc: BaseException, *, accept: bool = False, leave: bool = False) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if accept:
            await send({"type": "websocket.accept"})
        if leave:
            while (await receive())["type"] != "websocket.disconnect":
                pass
        raise exc

    return WebSocketGuardMiddleware(app)


@pytest.mark.parametrize(
    "exc",
    [
        WebSocketException(code=1008, reason="not you"),
        ExceptionGroup("", [WebSocketException(code=1008, reason="not you")]),
        ExceptionGroup("", [ExceptionGroup("", [WebSocketException(code=1008, reason="not you")])]),
    ],
    ids=["alone", "in a group", "in a group in a group"],
)
async def test_websocket_exception_closes_with_its_own_code_and_reason(exc: Exception) -> None:
    server = StrictServer()
    await server.run(raising(exc, accept=True))
    assert (server.client.close_code, server.client.close_reason) == (1008, "not you")


@pytest.mark.parametrize(
    ("code", "reason", "sent"),
    [(1006, "", (1011, "")), (99999, "", (1011, "")), (4000, "é" * 100, (4000, "é" * 61)), (4000, None, (4000, ""))],
)
async def test_websocket_exception_that_cannot_be_sent_as_it_is(code: int, reason: Any, sent: tuple[int, str]) -> None:
    server = StrictServer()
    await server.run(raising(WebSocketException(code=code, reason=reason), accept=True))
    assert (server.client.close_code, server.client.close_reason) == sent


@pytest.mark.parametrize("code", [1008, 1006])
async def test_websocket_exception_before_accept_is_403(code: int) -> None:
    server = StrictServer()
    await server.run(raising(WebSocketException(code=code)))
    assert server.client.denial is not None
    assert server.client.denial.status == 403


async def test_http_exception_before_accept_denies_with_its_status_and_headers() -> None:
    headers = {"WWW-Authenticate": "Basic", "Content-Length": "7"}
    server = StrictServer()
    await server.run(raising(HTTPException(401, detail="secret", headers=headers)))
    denial = server.client.denial
    assert denial is not None
    assert (denial.status, denial.body) == (401, b"Unauthorized")
    assert (b"WWW-Authenticate", b"Basic") in denial.headers
    assert b"content-length" not in {name.lower() for name, _ in denial.headers}


@pytest.mark.parametrize(
    ("status", "headers", "expected"),
    [(204, None, (204, b"")), (499, None, (499, b"")), (599, {}, (599, b""))],
)
async def test_http_exception_without_a_phrase(status: int, headers: Any, expected: tuple[int, bytes]) -> None:
    server = StrictServer()
    await server.run(raising(HTTPException(status, detail="secret", headers=headers)))
    assert server.client.denial is not None
    assert (server.client.denial.status, server.client.denial.body) == expected


@pytest.mark.parametrize(
    ("headers", "sent"),
    [
        ({b"x": b"y"}, [(b"x", b"y")]),
        ([("x", "y"), ("x", "z")], [(b"x", b"y"), (b"x", b"z")]),
        ({"x": "a\r\nb", "y": "z"}, [(b"y", b"z")]),
        ({"a b": "c", "": "d", ":e": "f", "☃": "g", 1: "h", "i": None, "transfer-encoding": "chunked"}, []),
    ],
)
async def test_http_exception_with_headers_that_cannot_be_sent_goes_without_them(headers: Any, sent: Any) -> None:
    server = StrictServer()
    await server.run(raising(HTTPException(401, headers=headers)))
    denial = server.client.denial
    assert denial is not None
    assert (denial.status, denial.body) == (401, b"Unauthorized")
    assert denial.headers[1:] == sent
    assert server.violations == []


@pytest.mark.parametrize("status", ["401", None, 99, 101, 600, 401.0, True, [401]])
async def test_http_exception_with_a_status_that_cannot_be_sent_is_a_crash(status: Any) -> None:
    server = StrictServer()
    exc = HTTPException(status, detail="secret")
    with pytest.raises(HTTPException) as raised:
        await server.run(raising(exc))
    assert raised.value is exc
    assert server.client.denial is not None
    assert (server.client.denial.status, server.client.denial.body) == (500, b"Internal Server Error")


@pytest.mark.parametrize("code", ["4001", None, 4001.0, True])
async def test_websocket_exception_with_a_code_that_is_not_a_number_is_a_crash(code: Any) -> None:
    server = StrictServer()
    exc = WebSocketException(code=code, reason="secret")
    with pytest.raises(WebSocketException) as raised:
        await server.run(raising(exc, accept=True))
    assert raised.value is exc
    assert (server.client.close_code, server.client.close_reason) == (1011, "")


@pytest.mark.parametrize("reason", [ValueError("secret"), b"bye", ["secret"], 1])
async def test_websocket_exception_with_a_reason_that_is_not_text_closes_without_it(reason: Any) -> None:
    server = StrictServer()
    await server.run(raising(WebSocketException(code=1008, reason=reason), accept=True))
    assert (server.client.close_code, server.client.close_reason) == (1008, "")


class Unreadable:
    """Raises where the named attributes are read."""

    def __getattribute__(self, name: str) -> Any:
        attributes, error = object.__getattribute__(self, "unreadable")
        if name in attributes:
            raise error
        return object.__getattribute__(self, name)


@given(
    kind=st.sampled_from([HTTPException, WebSocketException, WebSocketDisconnect, ValueError]),
    unreadable=st.sets(st.sampled_from(["__class__", "code", "reason", "status_code", "headers", "__dict__"])),
    error=st.sampled_from([ValueError(), AttributeError(), RecursionError(), BaseException()]),
    accepted=st.booleans(),
)
def test_reading_an_exception_never_raises(kind: Any, unreadable: Any, error: Any, accepted: bool) -> None:
    exc: Any = type("Hostile", (Unreadable, kind), {"unreadable": (unreadable, error)})(401)
    answer = integrations.answer(exc, accepted=accepted)
    if not unreadable:
        assert (answer is not None) == (kind is WebSocketException or (kind is HTTPException and not accepted))
    elif kind is WebSocketException and unreadable & {"code", "reason"}:
        assert answer is None
    assert integrations.is_disconnect(exc, left=False) is (kind is WebSocketDisconnect)


async def test_http_exception_is_403_without_the_extension() -> None:
    server = StrictServer(denial_extension=False)
    await server.run(raising(HTTPException(401)))
    assert server.client.denial is not None
    assert server.client.denial.status == 403


async def test_http_exception_after_accept_is_a_crash() -> None:
    exc = HTTPException(401)
    server = StrictServer()
    with pytest.raises(HTTPException) as raised:
        await server.run(raising(exc, accept=True))
    assert raised.value is exc
    assert server.client.close_code == 1011


@pytest.mark.parametrize(
    "exc",
    [
        WebSocketDisconnect(1001),
        ExceptionGroup("", [WebSocketDisconnect(1001), ExceptionGroup("", [WebSocketDisconnect(1001)])]),
    ],
    ids=["alone", "in groups"],
)
async def test_disconnect_after_the_end_is_quiet(exc: Exception, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "asgi_wsguard")
    server = StrictServer(raise_when_gone=False)
    server.client_leaves(1001)
    await server.run(raising(exc, accept=True, leave=True))
    (record,) = caplog.records
    assert record.levelname == "DEBUG"
    assert record.getMessage() == "[wsguard-E2] '/': The client disconnected. Its close code was 1001."


@pytest.mark.parametrize(
    "exc",
    [WebSocketDisconnect(1001), ExceptionGroup("", [WebSocketException(code=1008), ValueError()])],
    ids=["disconnect on an open websocket", "mixed group"],
)
async def test_what_is_not_quiet_goes_on_unchanged(exc: Exception) -> None:
    server = StrictServer()
    with pytest.raises(type(exc)) as raised:
        await server.run(raising(exc, accept=True))
    assert raised.value is exc
    assert server.client.close_code == 1011


async def test_refused_code_is_handed_to_the_crash_path() -> None:
    """O11: what the guard could not close goes on, so that the server ends the connection."""
    exc = WebSocketException(code=1008)
    server = StrictServer(refused_codes={1008})
    with pytest.raises(WebSocketException) as raised:
        await server.run(raising(exc, accept=True))
    assert raised.value is exc


async def endpoint(websocket: WebSocket) -> None:
    raise ValueError("secret")


@pytest.mark.parametrize("place", ["add_middleware", "Middleware", "route", "twice"])
async def test_every_place_in_a_starlette_app(place: str, caplog: pytest.LogCaptureFixture) -> None:
    guard = [Middleware(WebSocketGuardMiddleware)]
    route = WebSocketRoute("/ws", endpoint, middleware=guard if place == "route" else None)
    app = Starlette(routes=[route], middleware=guard if place in ("Middleware", "twice") else None)
    if place in ("add_middleware", "twice"):
        app.add_middleware(WebSocketGuardMiddleware)
    server = StrictServer("/ws")
    with pytest.raises(ValueError, match="secret"):
        await server.run(app)
    assert server.client.denial is not None
    assert server.client.denial.status == 500
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1
    assert lines[0].startswith("[wsguard-H2] '/ws': The app raised ValueError")
    assert f"{__file__}:" in lines[0]


def test_starlette_is_not_imported_by_the_guard() -> None:
    code = "import asgi_wsguard, sys; assert 'starlette' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
