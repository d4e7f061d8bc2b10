"""The end of what an app sends, if it closes while messages of the client are unread, or on their way."""

from __future__ import annotations

import contextlib
import socket
import struct
from pathlib import Path

import pytest
from tail_app import MESSAGES, SIZE

from asgi_wsguard.probe.servers import SERVERS, Server, running

BY_NAME = {server.name: server for server in SERVERS}
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
MESSAGE = b"\x81\x82\x00\x00\x00\x00hi"
"""In one frame, masked with zeros."""
ATTEMPTS = 4
SENT = MESSAGES * (4 + SIZE) + 4
"""Bytes of the app's messages, and of its close, with their headers."""


def received(server: Server, app: str) -> bytes:
    """Return what a client gets that sends a message for each one that it reads."""
    with (
        running(server, app=f"tail_app:{app}", env={"PYTHONPATH": str(Path(__file__).parent)}) as served,
        socket.create_connection(("127.0.0.1", served.port), timeout=20) as client,
    ):
        client.sendall(REQUEST)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += client.recv(1)
        frames = b""
        with contextlib.suppress(ConnectionError):
            while len(frames) < SENT and (part := client.recv(SIZE)):
                frames += part
                with contextlib.suppress(ConnectionError):
                    client.sendall(MESSAGE)
        return frames


@pytest.mark.parametrize("app", ["bare", "guarded"])
@pytest.mark.parametrize("name", ["uvicorn-sansio", "uvicorn-wsproto", "hypercorn-asyncio", "gunicorn-asgi"])
def test_the_client_gets_it(name: str, app: str) -> None:
    # Not daphne: it cuts a client that takes longer than a second to answer the close. On a busy machine hypercorn
    # (0.18.0) loses it now and then, without the guard, too.
    ends = (received(BY_NAME[name], app) for _ in range(ATTEMPTS))
    assert any(end.endswith(struct.pack("!BBH", 0x88, 2, 4000)) for end in ends)


@pytest.mark.parametrize("app", ["bare", "guarded"])
def test_on_granian_it_is_lost(app: str) -> None:
    """Without the guard, too, as its page says. If it is not lost any more, remove it there."""
    frames = received(BY_NAME["granian"], app)
    assert len(frames) < SENT
