"""HTTP/3: an extended CONNECT (RFC 9220), over QUIC."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Sequence

from aioquic.h3.connection import H3_ALPN, ErrorCode, H3Connection, Setting
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, StreamReset

from asgi_wsguard.probe.client.http1 import host_of, offer
from asgi_wsguard.probe.client.wire import TLS, Cut, Fault

STREAM = 0
"""The id of a client's first stream."""


class _Quic(QuicConnection):
    """Records why the client ends the connection, which means that the server sent something illegal."""

    fault = ""

    def close(self, error_code: int = 0, frame_type: int | None = None, reason_phrase: str = "") -> None:
        self.fault = self.fault or reason_phrase
        super().close(error_code, frame_type, reason_phrase)


class HTTP3:
    """The same over HTTP/3, on one stream."""

    def __init__(self, port: int, deadline: float, tls: TLS) -> None:
        self._deadline = deadline
        self._peer = ("127.0.0.1", port)
        self._authority = f"{tls.name}:{port}"
        configuration = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=tls.name)
        configuration.load_verify_locations(tls.bundle)
        self._quic = _Quic(configuration=configuration)
        self._http = H3Connection(self._quic)
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._socket.connect(self._peer)
        self._events: list[HeadersReceived | DataReceived | StreamReset] = []
        self._ended = False
        self._quic.connect(self._peer, time.monotonic())
        self._flush()

    def request(self, path: str, subprotocols: Sequence[str], more: Sequence[tuple[str, str]] = ()) -> None:
        """Request the websocket."""
        while self._http.received_settings is None:
            self._read_datagram()
        if not self._http.received_settings.get(Setting.ENABLE_CONNECT_PROTOCOL):
            raise Fault("the server does not offer extended CONNECT")
        host, others = host_of(more, self._authority)
        headers = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", path),
            (":authority", host),
            ("sec-websocket-version", "13"),
            *offer(subprotocols),
            *others,
        ]
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers]
        assert self._quic.get_next_available_stream_id() == STREAM
        self._http.send_headers(STREAM, encoded)
        self._flush()

    def answer(self) -> tuple[int, list[tuple[str, str]], bool]:
        """Wait for the answer: its status, its headers, and whether the websocket is open."""
        status = 0
        while status < 200:  # early hints
            event = self._next_event()
            assert isinstance(event, HeadersReceived)  # aioquic raises an error for data before it
            found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
            status = int(dict(found)[":status"])
        self._ended = event.stream_ended
        return status, found, status == 200

    def read_body(self) -> bytes:
        """Return more of a denial's body, or of the open websocket; empty at its end."""
        while not self._ended:
            event = self._next_event()
            self._ended = event.stream_ended
            if isinstance(event, DataReceived) and event.data:
                return event.data
        return b""

    read = read_body

    def write(self, data: bytes) -> None:
        """Send bytes on the open websocket."""
        self._http.send_data(STREAM, data, end_stream=False)
        self._flush()

    def finish(self) -> None:
        """End the stream in this direction."""
        self._http.send_data(STREAM, b"", end_stream=True)
        self._flush()

    def vanish(self, reset: bool) -> None:
        """End the stream by a reset, or the whole connection."""
        if reset:
            self._quic.reset_stream(STREAM, ErrorCode.H3_REQUEST_CANCELLED)
            self._flush()
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """End the connection, and close the socket."""
        if self._socket.fileno() >= 0:
            self._quic.close(ErrorCode.H3_NO_ERROR)
            self._flush()
            self._socket.close()

    def _next_event(self) -> HeadersReceived | DataReceived:
        while not self._events:
            self._read_datagram()
        event = self._events.pop(0)
        if isinstance(event, StreamReset):
            raise Cut
        return event

    def _read_datagram(self) -> None:
        """Wait for a datagram or a QUIC timer, and handle it."""
        timer = self._quic.get_timer() or self._deadline
        self._socket.settimeout(max(min(timer, self._deadline) - time.monotonic(), 0.001))
        try:
            data = self._socket.recv(65536)
        except socket.timeout:
            if time.monotonic() >= self._deadline:
                raise
            self._quic.handle_timer(time.monotonic())
        except ConnectionRefusedError:
            raise Cut from None
        else:
            self._quic.receive_datagram(data, self._peer, time.monotonic())
        while (event := self._quic.next_event()) is not None:
            heard = self._http.handle_event(event)
            self._events += [one for one in heard if isinstance(one, (HeadersReceived, DataReceived))]
            if self._quic.fault:
                self._flush()
                raise Fault(self._quic.fault)
            if isinstance(event, ConnectionTerminated):
                raise Cut
            if isinstance(event, StreamReset) and event.stream_id == STREAM:
                self._events.append(event)
        self._flush()

    def _flush(self) -> None:
        for data, _ in self._quic.datagrams_to_send(time.monotonic()):
            with contextlib.suppress(ConnectionRefusedError):  # the next read reports it
                self._socket.send(data)
