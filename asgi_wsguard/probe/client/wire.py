"""The socket of a client's connection, and the errors in what it receives."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from dataclasses import dataclass

RECEIVE_BUFFER = 4096
"""Bytes. With a small buffer, a client that does not read soon blocks the server's sends."""

ENDED = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)
"""The exceptions of a socket whose peer has ended the connection. Over TLS they depend on Python's version."""


class Cut(Exception):
    """The connection ended too early."""


class Fault(Exception):
    """The server broke the protocol."""


@dataclass(frozen=True)
class TLS:
    """How the client verifies the server."""

    bundle: str
    """The file with the certificates of the trusted CAs."""
    name: str
    """The host name that the server's certificate must be valid for."""

    def context(self) -> ssl.SSLContext:
        """Return the context of a new connection."""
        return ssl.create_default_context(cafile=self.bundle)


class Wire:
    """A socket, plain or over TLS, on which every wait ends at the deadline."""

    def __init__(self, port: int, deadline: float, tls: TLS | None = None, protocol: str = "http/1.1") -> None:
        self.deadline = deadline
        self.scheme = "https" if tls else "http"
        self.authority = f"{tls.name if tls else '127.0.0.1'}:{port}"
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as browsers do
        try:
            self.socket.connect(("127.0.0.1", port))
            if tls:
                self._hurry()
                context = tls.context()
                context.set_alpn_protocols([protocol])
                self.socket = context.wrap_socket(self.socket, server_hostname=tls.name)
        except OSError:
            self.socket.close()
            raise

    def read(self) -> bytes:
        """Return more bytes; empty at the end."""
        self._hurry()
        try:
            return self.socket.recv(65536)
        except ENDED:
            return b""

    def write(self, data: bytes) -> None:
        """Send all of it."""
        self._hurry()
        with contextlib.suppress(*ENDED):  # the next read reports it
            self.socket.sendall(data)

    def vanish(self, reset: bool) -> None:
        """End the connection, by a reset or by the end of the stream."""
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()
        else:
            self.socket.shutdown(socket.SHUT_RDWR)

    def _hurry(self) -> None:
        self.socket.settimeout(max(self.deadline - time.monotonic(), 0.001))
