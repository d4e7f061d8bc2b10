"""The socket under a client's connection, and what can be wrong with what comes out of it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time
from dataclasses import dataclass

RECEIVE_BUFFER = 4096
"""Bytes. A client that reads nothing is soon one that the server cannot send to."""

ENDED = (ConnectionError, ssl.SSLEOFError)
"""What a socket raises when the other side has ended the connection; over TLS by which, depends on the Python."""


class Cut(Exception):
    """The connection ended where it must not."""


class Fault(Exception):
    """The server did what no server may."""


@dataclass(frozen=True)
class TLS:
    """How the client makes sure of the server."""

    bundle: str
    """The file with the certificates of the CAs that it trusts."""
    name: str
    """The server's, for which its certificate must be."""

    def context(self) -> ssl.SSLContext:
        """Return what a new connection begins with."""
        return ssl.create_default_context(cafile=self.bundle)


class Wire:
    """A socket whose every wait ends at the deadline, in the clear or over TLS."""

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
        """Return more of what came; nothing at the end."""
        self._hurry()
        try:
            return self.socket.recv(65536)
        except ENDED:
            return b""

    def write(self, data: bytes) -> None:
        """Send all of it."""
        self._hurry()
        with contextlib.suppress(*ENDED):  # the next read tells
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
