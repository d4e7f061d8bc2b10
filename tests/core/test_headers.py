"""The headers of an accept and of a denial (H11), against RFC 9110 and a parser that is not ours."""

from __future__ import annotations

import http.client
import io
import re
import string
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import example, given
from starlette.exceptions import HTTPException

from asgi_wsguard import DenialResponse, ProtocolViolation, WebSocketGuardMiddleware
from asgi_wsguard.rules.messages import checked_headers
from asgi_wsguard.testing import StrictServer

pytestmark = pytest.mark.anyio

TOKEN = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()  # RFC 9110 section 5.6.2
VALUE = bytes({*range(0x20, 0x7F), *range(0x80, 0x100), 0x09})  # RFC 9110 section 5.5
# The client's handshake fails or is misread with a second one of these.
HANDSHAKES_OWN = (
    b"Upgrade",
    b"Connection",
    b"Sec-WebSocket-Accept",
    b"Sec-WebSocket-Extensions",
    b"Sec-WebSocket-Protocol",
    b"Content-Length",
    b"Transfer-Encoding",
)

# Mostly right, with one odd byte.
ODD = st.sampled_from([b"", *(bytes([byte]) for byte in range(256))])
NAMES = st.tuples(st.sampled_from([b"", b"x", b"x-app"]), ODD, st.sampled_from([b"", b"x"])).map(b"".join)
VALUES = st.tuples(st.sampled_from([b"", b"a=1"]), ODD, st.sampled_from([b"", b" b"])).map(b"".join)


def legal(name: bytes, value: bytes) -> bool:
    return bool(name) and all(byte in TOKEN for byte in name) and all(byte in VALUE for byte in value)


def parsed(headers: Any) -> list[tuple[str, str]]:
    lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
    return http.client.parse_headers(io.BytesIO(lines + b"\r\n")).items()


def check_header(name: bytes, value: bytes) -> None:
    """Check that what is let through is one header for whoever reads it."""
    if legal(name, value):
        headers = checked_headers([(name, value)], "H11")
        assert parsed(headers) == [(name.decode("latin-1"), value.strip(b" \t").decode("latin-1"))]
    else:
        with pytest.raises(ProtocolViolation, match=re.escape(repr(name))):
            checked_headers([(name, value)], "H11")


@given(name=NAMES | st.binary(max_size=3), value=VALUES | st.binary(max_size=3))
@example(b"set-cookie: a=1; b", b"2")
def test_any_header(name: bytes, value: bytes) -> None:
    check_header(name, value)


def test_each_byte_in_a_name_and_in_a_value() -> None:
    for byte in range(256):
        check_header(b"x" + bytes([byte]), b"1")
        check_header(b"x", b"1" + bytes([byte]) + b"1")


@given(
    headers=st.dictionaries(st.text(max_size=3) | NAMES, st.text(max_size=3) | VALUES | st.none(), max_size=3),
    status=st.integers(200, 599),
)
async def test_an_exceptions_headers_never_cost_the_answer(headers: Any, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise HTTPException(status, headers=headers, detail="secret")

    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(app))
    assert server.violations == []
    assert server.client.denial is not None
    assert (server.client.denial.status, server.client.denial.complete) == (status, True)
    sent = [header for header in server.client.denial.headers if header[0] != b"content-type"]
    assert len(parsed(sent)) == len(sent) <= len(headers)


@given(name=NAMES, value=VALUES)
def test_the_guards_own_response_passes_the_same_check(name: bytes, value: bytes) -> None:
    if legal(name, value):
        response = DenialResponse(401, "", [(name, value)])
        assert response.messages()[0]["headers"] == [(name, value.strip(b" \t"))]
    else:
        with pytest.raises(ValueError, match=re.escape(repr(name))):
            DenialResponse(401, "", [(name, value)])


@pytest.mark.parametrize("name", [name for each in HANDSHAKES_OWN for name in (each, each.lower())])
async def test_an_accept_leaves_the_handshakes_own_headers_to_the_server(name: bytes) -> None:
    raised: list[ProtocolViolation] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(ProtocolViolation) as caught:
            await send({"type": "websocket.accept", "headers": [(b"x-app", b"1"), (name, b"1")]})
        raised.append(caught.value)
        await send({"type": "websocket.accept"})

    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(app))
    assert server.client.accepted
    assert raised[0].clause == "H11"
    assert name.lower().decode() in raised[0].what


@pytest.mark.parametrize("name", [b"connection", b"content-length"])
async def test_an_apps_own_denial_may_have_them(name: bytes) -> None:
    start = {"type": "websocket.http.response.start", "status": 401, "headers": [(name, b"0")]}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start)
        await send({"type": "websocket.http.response.body", "body": b""})

    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(app))
    assert server.sent[0] is start


async def test_whitespace_around_a_value_is_not_part_of_it(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept", "headers": ((b"x-app", b" a b\t"), (b"x-empty", b" "))})

    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(app, strict=True))
    assert server.client.headers == [(b"x-app", b"a b"), (b"x-empty", b"")]
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_body_that_utf_8_cannot_encode() -> None:
    with pytest.raises(ValueError, match="body must be text that UTF-8 can encode"):
        DenialResponse(401, "\ud800")
