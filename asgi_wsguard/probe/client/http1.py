"""HTTP/1.1: an upgrade (RFC 6455)."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from typing import Any

import h11

from asgi_wsguard.probe.client.wire import Cut, Fault, Wire


class HTTP1:
    """The handshake and the denial over HTTP/1.1. After the handshake, it passes the bytes through."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._http = h11.Connection(h11.CLIENT)
        self._key = base64.b64encode(os.urandom(16))
        self._head = b""
        self._pending = b""

    def request(self, path: str, subprotocols: Sequence[str], more: Sequence[tuple[str, str]] = ()) -> None:
        """Request the websocket."""
        host, others = host_of(more, self._wire.authority)
        headers = [
            ("host", host),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", self._key.decode()),
            *offer(subprotocols),
            *others,
        ]
        request = self._http.send(h11.Request(method="GET", target=path, headers=headers))
        self._wire.write((request or b"") + (self._http.send(h11.EndOfMessage()) or b""))

    def answer(self) -> tuple[int, list[tuple[str, str]], bool]:
        """Wait for the answer: its status, its headers, and whether the websocket is open."""
        response: Any = self._next_event()
        while isinstance(response, h11.InformationalResponse) and response.status_code != 101:
            response = self._next_event()
        self._check_head()
        found = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers]
        opened = response.status_code == 101
        if opened:
            self._pending = self._http.trailing_data[0]
            self._check_upgrade(dict(found))
        return response.status_code, found, opened

    def read_body(self) -> bytes:
        """Return more of a denial's body; empty at its end."""
        event = self._next_event()
        if isinstance(event, h11.Data):
            return bytes(event.data)
        if self._http.trailing_data[0]:
            raise Fault(f"after the response came {self._http.trailing_data[0]!r}")
        return b""

    def read(self) -> bytes:
        """Return more bytes of the open websocket; empty at its end."""
        pending, self._pending = self._pending, b""
        return pending or self._wire.read()

    def write(self, data: bytes) -> None:
        """Send bytes on the open websocket."""
        self._wire.write(data)

    def finish(self) -> None:
        """Do nothing: over HTTP/1.1 the server ends the connection."""

    def vanish(self, reset: bool) -> None:
        """End the connection without a close frame."""
        self._wire.vanish(reset)

    def hang_up(self) -> None:
        """Close the socket."""
        self._wire.socket.close()

    def _next_event(self) -> h11.Event:
        data = None
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                raise Cut if data == b"" else error from None
            if event is h11.NEED_DATA:
                data = self._wire.read()
                self._head += data
                self._http.receive_data(data)
            else:
                assert not isinstance(event, type)  # NEED_DATA and PAUSED are classes
                return event

    def _check_head(self) -> None:
        """Find a fault that h11 accepts: two equal lengths."""
        head = self._head.partition(b"\r\n\r\n")[0].lower()
        framing = re.findall(rb"^(content-length|transfer-encoding):", head, re.MULTILINE)
        if len(framing) > 1:
            raise Fault(f"more than one of content-length and transfer-encoding: {head!r}")

    def _check_upgrade(self, headers: dict[str, str]) -> None:
        digest = hashlib.sha1(self._key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        if headers.get("sec-websocket-accept") != base64.b64encode(digest).decode():
            raise Fault("a wrong sec-websocket-accept")
        if headers.get("upgrade", "").lower() != "websocket" or "upgrade" not in headers.get("connection", "").lower():
            raise Fault("101 without the headers of an upgrade")


def host_of(headers: Sequence[tuple[str, str]], authority: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the host to send, which is the server's unless a header names another, and the other headers."""
    others = [(name, value) for name, value in headers if name.lower() != "host"]
    return next((value for name, value in headers if name.lower() == "host"), authority), others


def offer(subprotocols: Sequence[str]) -> list[tuple[str, str]]:
    """Return the header that offers the subprotocols; none without any."""
    return [("sec-websocket-protocol", ", ".join(subprotocols))] if subprotocols else []
