"""HTTP/2: an extended CONNECT (RFC 8441)."""

from __future__ import annotations

from collections.abc import Sequence

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions

from asgi_wsguard.probe.client.http1 import host_of, offer
from asgi_wsguard.probe.client.wire import Cut, Fault, Wire


class HTTP2:
    """The same over HTTP/2, on one stream."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="latin-1"))
        self._http.initiate_connection()
        self._stream = self._http.get_next_available_stream_id()
        self._events: list[h2.events.Event] = []

    def request(self, path: str, subprotocols: Sequence[str], more: Sequence[tuple[str, str]] = ()) -> None:
        """Request the websocket."""
        self._flush()
        self._next_event()  # the server sends its settings first
        if not self._http.remote_settings.enable_connect_protocol:
            raise Fault("the server does not offer extended CONNECT")
        host, others = host_of(more, self._wire.authority)
        headers = [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", self._wire.scheme),
            (":path", path),
            (":authority", host),
            ("sec-websocket-version", "13"),
            *offer(subprotocols),
            *others,
        ]
        self._http.send_headers(self._stream, headers)
        self._flush()

    def answer(self) -> tuple[int, list[tuple[str, str]], bool]:
        """Wait for the answer: its status, its headers, and whether the websocket is open."""
        event = self._next_event()
        while not isinstance(event, h2.events.ResponseReceived):
            event = self._next_event()
        found = [(str(name), str(value)) for name, value in event.headers]
        status = int(dict(found)[":status"])
        return status, found, status == 200

    def read_body(self) -> bytes:
        """Return more of a denial's body, or of the open websocket; empty at its end."""
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
        """Send bytes on the open websocket."""
        try:
            self._http.send_data(self._stream, data)
        except h2.exceptions.StreamClosedError:
            return  # the next read reports it
        self._flush()

    def finish(self) -> None:
        """End the stream in this direction."""
        try:
            self._http.end_stream(self._stream)
        except h2.exceptions.ProtocolError:
            return  # it has ended
        self._flush()

    def vanish(self, reset: bool) -> None:
        """End the stream by a reset, or the whole connection."""
        if reset:
            self._http.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
            self._flush()
        else:
            self._wire.vanish(reset)

    def hang_up(self) -> None:
        """Close the socket."""
        self._http.close_connection()
        self._flush()
        self._wire.socket.close()

    def _next_event(self) -> h2.events.Event:
        while not self._events:
            data = self._wire.read()
            if not data:
                raise Cut
            self._events += self._http.receive_data(data)
            self._flush()
        event = self._events.pop(0)
        if isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise Cut
        return event

    def _flush(self) -> None:
        self._wire.write(self._http.data_to_send())
