"""The probe's client over HTTP/3, against servers that send what hypercorn does not, and over what loses datagrams."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aioquic.buffer import Buffer
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived, HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated
from aioquic.quic.packet import pull_quic_header

from asgi_wsguard.probe.certificate import CERTIFICATE, KEY, self_signed
from asgi_wsguard.probe.client import TLS, Observation, staying, visit
from asgi_wsguard.probe.model import Say, Vanish

Step = Callable[[H3Connection, QuicConnection], None]


class Server:
    """Serves one QUIC connection: takes the steps once it is asked, and keeps what came."""

    def __init__(self, folder: Path, steps: tuple[Step, ...], *, loses: int = 0, connect: int = 1) -> None:
        self.steps = steps
        self.loses = loses
        self.connect = connect
        self.asked: dict[str, str] = {}
        self.data = b""
        self.ended = False
        self._configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
        self._configuration.load_cert_chain(folder / CERTIFICATE, folder / KEY)
        self._quic: Any = None
        self._http: Any = None

    def serve(self, here: socket.socket, stop: socket.socket) -> None:
        while True:
            timer = self._quic.get_timer() if self._quic else None
            wait = None if timer is None else max(timer - time.monotonic(), 0)
            ready = select.select([here, stop], [], [], wait)[0]
            if stop in ready:
                return
            if here in ready:
                self._take(here)
            else:
                self._quic.handle_timer(time.monotonic())
            if self._quic:
                self._act()
                for data, address in self._quic.datagrams_to_send(time.monotonic()):
                    here.sendto(data, address)

    def _take(self, here: socket.socket) -> None:
        data, address = here.recvfrom(65536)
        if self.loses:
            self.loses -= 1
            return
        if self._quic is None:
            there = pull_quic_header(Buffer(data=data), host_cid_length=8).destination_cid
            self._quic = QuicConnection(configuration=self._configuration, original_destination_connection_id=there)
            self._http = H3Connection(self._quic) if self.connect else WithoutConnect(self._quic)
        self._quic.receive_datagram(data, address, time.monotonic())

    def _act(self) -> None:
        while (event := self._quic.next_event()) is not None:
            self.ended = self.ended or isinstance(event, ConnectionTerminated)
            for heard in self._http.handle_event(event):
                if isinstance(heard, HeadersReceived):
                    self.asked = {name.decode(): value.decode() for name, value in heard.headers}
                    for step in self.steps:
                        step(self._http, self._quic)
                elif isinstance(heard, DataReceived):
                    self.data += heard.data


class WithoutConnect(H3Connection):
    """It does not offer extended CONNECT."""

    def _get_local_settings(self) -> dict[int, int]:
        return {name: value for name, value in super()._get_local_settings().items() if name != 8}


@contextlib.contextmanager
def served(server: Server) -> Iterator[int]:
    with socket.socket(type=socket.SOCK_DGRAM) as here:
        here.bind(("127.0.0.1", 0))
        there, stop = socket.socketpair()
        with there, stop:
            thread = threading.Thread(target=server.serve, args=(here, stop))
            thread.start()
            yield here.getsockname()[1]
            there.send(b".")
            thread.join()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificate")


@pytest.fixture(scope="module")
def tls(folder: Path) -> TLS:
    return self_signed(folder)


@pytest.fixture
def over_http3(folder: Path, tls: TLS) -> Callable[..., Observation]:
    def once(*steps: Step, client: Any = (), patience: float = 5.0, **how: Any) -> Observation:
        with served(Server(folder, steps, **how)) as port:
            return visit(port, "/", http=3, tls=tls, steps=client, patience=patience)

    return once


def respond(status: bytes, *headers: tuple[bytes, bytes], end: bool = False) -> Step:
    return lambda http, quic: http.send_headers(0, [(b":status", status), *headers], end)


def data(content: bytes, end: bool = False) -> Step:
    return lambda http, quic: http.send_data(0, content, end)


def reset(http: H3Connection, quic: QuicConnection) -> None:
    quic.reset_stream(0, 0)


def close(http: H3Connection, quic: QuicConnection) -> None:
    quic.close()


Over = Callable[..., Observation]


def test_denial(over_http3: Over) -> None:
    seen = over_http3(respond(b"401"), data(b"ha"), data(b"lf", end=True))
    assert (seen.status, seen.body, seen.cut, seen.opened, seen.fault) == (401, b"half", False, False, "")


def test_denial_without_a_body(over_http3: Over) -> None:
    seen = over_http3(respond(b"401", end=True))
    assert (seen.status, seen.body, seen.cut, seen.fault) == (401, b"", False, "")


def test_early_hints_and_trailers(over_http3: Over) -> None:
    early = respond(b"103", (b"link", b"</style.css>"))
    seen = over_http3(
        early, respond(b"401"), data(b"half"), lambda http, quic: http.send_headers(0, [(b"x-app", b"1")], True)
    )
    assert (seen.status, seen.body, seen.cut, seen.fault) == (401, b"half", False, "")


def test_messages_and_close(folder: Path, tls: TLS) -> None:
    server = Server(folder, (respond(b"200"), data(b"\x81\x02hi"), data(b"\x88\x02\x03\xe8", end=True)))
    with served(server) as port:
        seen = visit(port, "/", http=3, tls=tls, headers=[("Host", "example.org")], subprotocols=["chat"])
    assert (seen.status, seen.messages, seen.code, seen.fault) == (200, ["hi"], 1000, "")
    assert (server.asked[":authority"], server.asked[":protocol"]) == ("example.org", "websocket")
    assert server.asked["sec-websocket-protocol"] == "chat"


@pytest.mark.parametrize("by_reset", [False, True])
def test_vanish(over_http3: Over, by_reset: bool) -> None:
    seen = over_http3(respond(b"200"), client=(Vanish(by_reset),))
    assert (seen.code, seen.left, seen.fault) == (None, True, "")


def test_reset(over_http3: Over) -> None:
    seen = over_http3(respond(b"401"), data(b"half"), reset)
    assert (seen.opened, seen.cut, seen.hung) == (False, True, False)


def test_the_connection_ends(over_http3: Over) -> None:
    assert over_http3(close).cut


@pytest.mark.parametrize("header", [(b"connection", b"close"), (b"transfer-encoding", b"chunked")])
def test_a_header_of_http1(over_http3: Over, header: tuple[bytes, bytes]) -> None:
    assert "connection-specific" in over_http3(respond(b"403", header)).fault


def test_without_extended_connect(over_http3: Over) -> None:
    assert "CONNECT" in over_http3(connect=0).fault


def test_lost_datagrams(over_http3: Over) -> None:
    assert over_http3(respond(b"401", end=True), loses=2).status == 401


def test_no_answer(over_http3: Over) -> None:
    assert over_http3(patience=0.5).hung
    assert over_http3(respond(b"200"), data(b"\x81\x02hi"), client=(Say("hello"),), patience=0.5).hung


def test_nobody_is_there(tls: TLS) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert visit(port, "/", http=3, tls=tls).cut


def test_staying(folder: Path, tls: TLS) -> None:
    server = Server(folder, (respond(b"200"),))
    with served(server) as port:
        with staying(port, "/", http=3, patience=5.0, tls=tls):
            assert not server.ended
        deadline = time.monotonic() + 5
        while not server.ended and time.monotonic() < deadline:
            time.sleep(0.01)
        assert server.ended
