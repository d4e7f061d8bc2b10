"""Through a real uvicorn (uvloop, websockets-sansio). Ratio: server CPU ÷ bare, from one process that serves both."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from functools import partial
from http.client import HTTPConnection
from typing import TYPE_CHECKING, BinaryIO

from benchmarks.inmemory import least
from benchmarks.middlewares import GUARDS, OURS
from benchmarks.report import Row, duration, quotient

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 1.01

# A client's frames may be masked with zeros.
PAYLOAD = b"x" * 20
ECHO = bytes([0x81, 0x80 | len(PAYLOAD), 0, 0, 0, 0]) + PAYLOAD
REPLY_SIZE = 2 + len(PAYLOAD)
CLOSE = bytes([0x88, 0x82, 0, 0, 0, 0]) + (1000).to_bytes(2, "big")


def rows(rounds: int = 300, echoes: int = 250) -> Iterator[Row]:
    with Server() as server:
        runs = {name: partial(server.cpu_per_echo, f"/{name}", echoes) for name in OURS}
        times = least(runs, rounds)
    for name, time in times.items():
        yield Row(f"echo: {name}", duration(time), quotient(time, times["none"]), TARGET if name in GUARDS else None)


class Server:
    """A uvicorn in its own process. The path selects the middleware around the app."""

    def __init__(self, app: str = "benchmarks.served:app") -> None:
        self.app = app

    def __enter__(self) -> Server:
        with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
            self.address = listener.getsockname()
            fd = listener.fileno()
            options = ["--fd", str(fd), "--loop", "uvloop", "--ws", "websockets-sansio", "--log-level", "critical"]
            options += ["--timeout-keep-alive", "600"]
            command = [sys.executable, "-m", "uvicorn", self.app, *options]
            self.process = subprocess.Popen(command, pass_fds=[fd])
        self.http = HTTPConnection(*self.address)
        self.usage()  # it answers once it is up
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.http.close()
        self.process.terminate()
        self.process.wait()

    def usage(self) -> dict[str, float]:
        self.http.request("GET", "/")
        return json.load(self.http.getresponse())

    def connect(self, path: str) -> BinaryIO:
        with self.socket() as client:
            return self.handshake(client, path)

    def socket(self) -> socket.socket:
        client = socket.create_connection(self.address)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return client

    def handshake(self, client: socket.socket, path: str) -> BinaryIO:
        stream = client.makefile("rwb")
        key = b"dGhlIHNhbXBsZSBub25jZQ=="
        stream.write(
            b"GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n" % (path.encode(), key)
        )
        stream.flush()
        status = stream.readline()
        if b" 101 " not in status:
            raise RuntimeError(f"{path} answered {status!r}")
        while stream.readline() != b"\r\n":
            pass
        return stream

    def cpu_per_echo(self, path: str, echoes: int) -> float:
        """Return the CPU seconds that the server spends on one echo."""
        with self.connect(path) as stream:
            before = self.usage()["cpu"]
            for _ in range(echoes):
                stream.write(ECHO)
                stream.flush()
                stream.read(REPLY_SIZE)
            return (self.usage()["cpu"] - before) / echoes

    def cpu_per_handshake(self, path: str, handshakes: int) -> float:
        """Return the CPU seconds that the server spends on one handshake and close."""
        before = self.usage()["cpu"]
        for _ in range(handshakes):
            with self.connect(path) as stream:
                stream.write(CLOSE)
                stream.flush()
                stream.read()
        return (self.usage()["cpu"] - before) / handshakes
