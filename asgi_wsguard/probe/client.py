"""A websocket client that is as strict as a browser, over HTTP/1.1 and HTTP/2, with a deadline for everything."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import socket
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h11
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

from asgi_wsguard.probe.model import Hear, Leave, Say, Step, Vanish

ABNORMAL = 1006


@dataclass
class Observation:
    """What the client got."""

    status: int | None = None
    """Of the response: 101 and, over HTTP/2, 200 mean that the websocket is open."""
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    opened: bool = False
    subprotocol: str | None = None
    messages: list[str | bytes] = field(default_factory=list)
    code: int | None = None
    """Of the close: 1006 when the connection ended without one."""
    reason: str = ""
    cut: bool = False
    """The connection ended in the middle of the response."""
    fault: str = ""
    """What a browser would not have taken."""
    hung: bool = False
    """Nothing more came, and the client gave up waiting."""
    seconds: float = 0.0


def visit(
    port: int,
    path: str,
    *,
    subprotocols: Sequence[str] = (),
    steps: Sequence[Step] = (),
    http2: bool = False,
    patience: float = 5.0,
) -> Observation:
    """Connect, take the steps, wait for the end, and return what was seen."""
    seen = Observation()
    start = time.monotonic()
    wire = _Wire(port, start + patience)
    connection = _HTTP2(wire) if http2 else _HTTP1(wire)
    try:
        _talk(connection, seen, path, subprotocols, steps)
    except _Cut:
        seen.cut = not seen.opened
        seen.code = ABNORMAL if seen.opened else None
    except (h11.ProtocolError, h2.exceptions.ProtocolError, ParseFailed, _Fault) as fault:
        seen.fault = str(fault)
    except socket.timeout:
        seen.hung = True
    finally:
        connection.hang_up()
        seen.seconds = time.monotonic() - start
    return seen


class _Cut(Exception):
    """The connection ended where it must not."""


class _Fault(Exception):
    """The server did what no server may."""


class _Wire:
    """A socket whose every wait ends at the deadline."""

    def __init__(self, port: int, deadline: float) -> None:
        self.deadline = deadline
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.authority = f"127.0.0.1:{port}"

    def read(self) -> bytes:
        self._hurry()
        try:
            return self.socket.recv(65536)
        except ConnectionError:
            return b""

    def write(self, data: bytes) -> None:
        self._hurry()
        with contextlib.suppress(ConnectionError):  # the next read tells
            self.socket.sendall(data)

    def vanish(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def _hurry(self) -> None:
        self.socket.settimeout(max(self.deadline - time.monotonic(), 0.001))


class _HTTP1:
    """The handshake and the denial over HTTP/1.1; after the handshake, the bytes as they are."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._http = h11.Connection(h11.CLIENT)
        self._head = b""
        self._pending = b""

    def connect(self, path: str, subprotocols: Sequence[str]) -> tuple[int, list[tuple[str, str]], bool]:
        key = base64.b64encode(os.urandom(16))
        headers = [
            ("host", self._wire.authority),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", key.decode()),
            *_offer(subprotocols),
        ]
        request = self._http.send(h11.Request(method="GET", target=path, headers=headers))
        self._wire.write((request or b"") + (self._http.send(h11.EndOfMessage()) or b""))
        response: Any = self._next_event()
        while isinstance(response, h11.InformationalResponse) and response.status_code != 101:
            response = self._next_event()
        self._check_head()
        found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
        opened = response.status_code == 101
        if opened:
            self._pending = self._http.trailing_data[0]
            _check_upgrade(dict(found), key)
        return response.status_code, found, opened

    def read_body(self) -> bytes:
        """Return more of a denial's body; nothing at its end."""
        event = self._next_event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if self._http.trailing_data[0]:
            raise _Fault(f"after the response came {self._http.trailing_data[0]!r}")
        return b""

    def read(self) -> bytes:
        """Return more of what the open websocket brings; nothing at its end."""
        pending, self._pending = self._pending, b""
        return pending or self._wire.read()

    def write(self, data: bytes) -> None:
        self._wire.write(data)

    def finish(self) -> None:
        """Say that nothing more will come from here: the server ends a connection over HTTP/1.1."""

    def vanish(self) -> None:
        self._wire.vanish()

    def hang_up(self) -> None:
        """Give the socket back."""
        self._wire.socket.close()

    def _next_event(self) -> h11.Event:
        data = None
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise _Cut if data == b"" else error from None
            if event is h11.NEED_DATA:
                data = self._wire.read()
                self._head += data
                self._http.receive_data(data)
            else:
                assert not isinstance(event, type)  # NEED_DATA and PAUSED are classes
                return event

    def _check_head(self) -> None:
        """Find what h11 forgives: it takes two lengths for one when they are the same."""
        head = self._head.partition(b"\r\n\r\n")[0].lower()
        framing = re.findall(rb"^(content-length|transfer-encoding):", head, re.MULTILINE)
        if len(framing) > 1:
            raise _Fault(f"more than one of content-length and transfer-encoding: {head!r}")


class _HTTP2:
    """The same over HTTP/2: an extended CONNECT (RFC 8441) on one stream."""

    def __init__(self, wire: _Wire) -> None:
        self._wire = wire
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self._http.initiate_connection()
        self._stream = self._http.get_next_available_stream_id()
        self._events: list[h2.events.Event] = []

    def connect(self, path: str, subprotocols: Sequence[str]) -> tuple[int, list[tuple[str, str]], bool]:
        self._flush()
        self._next_event()  # a server's settings come first
        if not self._http.remote_settings.enable_connect_protocol:
            raise _Fault("the server does not offer extended CONNECT")
        headers = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "http"),
            (":path", path),
            (":authority", self._wire.authority),
            ("sec-websocket-version", "13"),
            *_offer(subprotocols),
        ]
        self._http.send_headers(self._stream, headers)
        self._flush()
        event = self._next_event()
        while not isinstance(event, h2.events.ResponseReceived):
            event = self._next_event()
        found = [(str(name), str(value)) for name, value in event.headers]
        status = int(dict(found)[":status"])
        return status, found, status == 200

    def read_body(self) -> bytes:
        while True:
            event = self._next_event()
            if isinstance(event, h2.events.DataReceived):
                self._http.acknowledge_received_data(event.flow_controlled_length, self._stream)
                self._flush()
                if event.data:
                    return event.data
            elif isinstance(event, h2.events.StreamEnded):
                return b""

    read = read_body

    def write(self, data: bytes) -> None:
        try:
            self._http.send_data(self._stream, data)
        except h2.exceptions.StreamClosedError:
            return  # the next read tells
        self._flush()

    def finish(self) -> None:
        try:
            self._http.end_stream(self._stream)
        except h2.exceptions.ProtocolError:
            return  # it has ended
        self._flush()

    def vanish(self) -> None:
        self._http.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    def hang_up(self) -> None:
        self._http.close_connection()
        self._flush()
        self._wire.socket.close()

    def _next_event(self) -> h2.events.Event:
        while not self._events:
            data = self._wire.read()
            if not data:
                raise _Cut
            self._events += self._http.receive_data(data)
            self._flush()
        event = self._events.pop(0)
        if isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise _Cut
        return event

    def _flush(self) -> None:
        self._wire.write(self._http.data_to_send())


def _offer(subprotocols: Sequence[str]) -> list[tuple[str, str]]:
    return [("sec-websocket-protocol", ", ".join(subprotocols))] if subprotocols else []


def _check_upgrade(headers: dict[str, str], key: bytes) -> None:
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).decode()
    if headers.get("sec-websocket-accept") != accept:
        raise _Fault("a wrong sec-websocket-accept")
    if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
        raise _Fault("101 without the headers of an upgrade")


def _talk(
    connection: _HTTP1 | _HTTP2,
    seen: Observation,
    path: str,
    subprotocols: Sequence[str],
    steps: Sequence[Step],
) -> None:
    seen.status, seen.headers, seen.opened = connection.connect(path, subprotocols)
    if not seen.opened:
        for chunk in iter(connection.read_body, b""):
            seen.body += chunk
        return
    if "sec-websocket-extensions" in dict(seen.headers):
        raise _Fault("an extension that was not offered")
    seen.subprotocol = dict(seen.headers).get("sec-websocket-protocol")
    if seen.subprotocol not in (None, *subprotocols):
        raise _Fault(f"the subprotocol {seen.subprotocol!r}, which was not offered")
    websocket = _Websocket(connection, seen)
    for step in steps:
        if isinstance(step, Vanish):
            connection.vanish()
            return
        websocket.take(step)
    websocket.end()


class _Websocket:
    """The frames of an open websocket."""

    def __init__(self, connection: _HTTP1 | _HTTP2, seen: Observation) -> None:
        self._connection = connection
        self._seen = seen
        self._frames = FrameProtocol(client=True, extensions=[])
        self._parts: list[Any] = []
        self._left = False

    def take(self, step: Say | Hear | Leave) -> None:
        if isinstance(step, Say):
            self._connection.write(bytes(self._frames.send_data(step.text)))
        elif isinstance(step, Leave):
            self._close(step.code)
        else:
            heard = len(self._seen.messages)
            while self._seen.code is None and len(self._seen.messages) == heard:
                self._read()

    def end(self) -> None:
        """Wait for the close, and for the end of the connection, which the server owes after it."""
        while self._seen.code is None:
            self._read()
        self._connection.finish()
        with contextlib.suppress(_Cut):  # a reset after the close frames harms nobody
            b"".join(iter(self._connection.read, b""))

    def _read(self) -> None:
        data = self._connection.read()
        if not data:
            raise _Cut
        self._frames.receive_bytes(data)
        for frame in self._frames.received_frames():
            payload: Any = frame.payload
            if frame.opcode is Opcode.CLOSE:
                code, reason = payload
                self._seen.code, self._seen.reason = int(code), str(reason or "")
                self._close(int(code))
                return
            if frame.opcode is Opcode.PING:
                self._connection.write(bytes(self._frames.pong(payload)))
            elif frame.opcode is not Opcode.PONG:
                self._parts.append(payload)
                if frame.message_finished:
                    empty = self._parts[0][:0]
                    self._seen.messages.append(empty.join(self._parts))
                    self._parts = []

    def _close(self, code: int) -> None:
        if not self._left:
            self._left = True
            self._connection.write(bytes(self._frames.close(code)))
