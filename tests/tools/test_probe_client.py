"""The probe's client against servers that send what no browser would take, byte by byte."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import ssl
import struct
import threading
import time
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest
import trustme

from asgi_wsguard.probe.client import TLS, Observation, staying, visit
from asgi_wsguard.probe.client.wire import Wire
from asgi_wsguard.probe.model import Hear, Leave, Pause, Say, Until, Vanish
from asgi_wsguard.probe.servers import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from asgi_wsguard.probe.model import Step


@contextlib.contextmanager
def served(serve: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Serve one connection, over TLS with a context, and give the port."""

    def wrap(connection: socket.socket) -> socket.socket:
        return context.wrap_socket(connection, server_side=True) if context else connection

    def run() -> None:
        connection, _ = listener.accept()
        connection.settimeout(5)
        with contextlib.suppress(ConnectionError, ssl.SSLError), wrap(connection) as wrapped:
            serve(wrapped)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=run)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def request(connection: socket.socket) -> bytes:
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(65536)
    return head


def until_gone(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def upgrade(head: bytes) -> bytes:
    key = head.partition(b"sec-websocket-key: ")[2].partition(b"\r\n")[0]
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 \r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: " + accept + b"\r\n\r\n"
    )


def answered(answer: bytes, patience: float = 5.0) -> Observation:
    def serve(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(answer)

    with served(serve) as port:
        return visit(port, "/", patience=patience)


def opened(*frames: bytes, steps: tuple[Step, ...] = (), stay: bool = False, head: bytes = b"") -> Observation:
    """Open the websocket, send the frames, and hang up, unless the client is to do it first."""

    def serve(connection: socket.socket) -> None:
        answer = upgrade(request(connection))
        connection.sendall(answer.replace(b"\r\n\r\n", b"\r\n" + head + b"\r\n\r\n") if head else answer)
        for frame in frames:
            connection.sendall(frame)
        if stay:
            until_gone(connection)
        elif frames:
            connection.recv(65536)

    with served(serve) as port:
        return visit(port, "/", steps=steps, patience=0.3 if stay else 5.0)


def test_denial() -> None:
    seen = answered(b"HTTP/1.1 401 \r\ncontent-length: 4\r\n\r\nhalf")
    assert (seen.status, seen.body, seen.cut, seen.fault) == (401, b"half", False, "")


def test_early_hints() -> None:
    assert answered(b"HTTP/1.1 103 \r\n\r\nHTTP/1.1 401 \r\ncontent-length: 0\r\n\r\n").status == 401


def test_chunked_denial() -> None:
    seen = answered(b"HTTP/1.1 401 \r\ntransfer-encoding: chunked\r\n\r\n2\r\nha\r\n2\r\nlf\r\n0\r\n\r\n")
    assert (seen.status, seen.body, seen.cut, seen.fault) == (401, b"half", False, "")


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b"HTTP/1.1 401 \r\ncontent-length: 4\r\ncontent-length: 4\r\n\r\nhalf", "more than one"),
        (b"HTTP/1.1 401 \r\ncontent-length: 4\r\nContent-Length: 5\r\n\r\nhalf", "onflicting"),
        (b"HTTP/1.1 401 \r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "more than one"),
        (b"HTTP/1.1 401 \r\ntransfer-encoding: chunked\r\n\r\nno chunk\r\n", "illegal chunk"),
        (b"HTTP/1.1 401 \r\ncontent-length: 0\r\n\r\nHTTP/1.1 500 \r\n\r\n", "after the response"),
        (b"HTTP/1.1 401 \r\n: empty\r\n\r\n", "illegal header"),
        (b"HTTP/1.1 101 \r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\n", "sec-websocket-accept"),
        (b"no HTTP\r\n\r\n", "illegal status line"),
    ],
)
def test_illegal_denial(answer: bytes, fault: str) -> None:
    assert fault in answered(answer).fault


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 401 \r\ncontent-le",
        b"HTTP/1.1 401 \r\ncontent-length: 4\r\n\r\nha",
        b"HTTP/1.1 401 \r\ntransfer-encoding: chunked\r\n\r\n2\r\nha\r\n",
    ],
)
def test_cut_denial(answer: bytes) -> None:
    seen = answered(answer)
    assert (seen.cut, seen.fault, seen.hung) == (True, "", False)


def test_reset() -> None:
    def serve(connection: socket.socket) -> None:
        request(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with served(serve) as port:
        assert visit(port, "/").cut


def test_no_answer() -> None:
    done = threading.Event()

    def serve(connection: socket.socket) -> None:
        done.wait()

    with served(serve) as port:
        seen = visit(port, "/", patience=0.05)
        done.set()
    assert (seen.hung, seen.status, seen.cut) == (True, None, False)


def test_messages_and_close() -> None:
    seen = opened(b"\x01\x02he", b"\x89\0", b"\x8a\0", b"\x80\x03llo\x82\x01b", b"\x88\x06\x0f\xa1done")
    assert (seen.status, seen.messages, seen.code, seen.reason) == (101, ["hello", b"b"], 4001, "done")
    assert (seen.fault, seen.hung) == ("", False)


def test_steps() -> None:
    seen = opened(b"\x81\x02hi", b"\x88\x02\x03\xe8", steps=(Say("hello"), Hear(), Leave()))
    assert (seen.messages, seen.code) == (["hi"], 1000)


def test_two_messages_at_once() -> None:
    seen = opened(b"\x81\x02hi\x81\x02ho", b"\x88\x02\x03\xe8", steps=(Hear(), Hear(), Leave()))
    assert (seen.messages, seen.code) == (["hi", "ho"], 1000)


@pytest.mark.parametrize("reset", [False, True])
def test_vanish(reset: bool) -> None:
    seen = opened(stay=True, steps=(Vanish(reset),))
    assert (seen.status, seen.code, seen.cut, seen.hung, seen.left) == (101, None, False, False, True)


@pytest.mark.parametrize(("reset", "end"), [(False, "b''"), (True, "Connection reset by peer")])
def test_vanish_before_the_answer(reset: bool, end: str) -> None:
    found = []

    def serve(connection: socket.socket) -> None:
        request(connection)
        try:
            found.append(repr(connection.recv(1)))
        except ConnectionResetError as error:
            found.append(str(error))

    with served(serve) as port:
        seen = visit(port, "/", early=(Vanish(reset),))
    assert (seen.left, seen.status, seen.cut) == (True, None, False)
    assert end in found[0]


def test_waits_before_and_after_the_answer() -> None:
    notes: list[str] = []

    def serve(connection: socket.socket) -> None:
        head = request(connection)
        notes.append("asked")
        connection.sendall(upgrade(head) + b"\x88\x02\x03\xe8")
        connection.recv(65536)

    with served(serve) as port:
        seen = visit(port, "/", early=(Until("one"),), steps=(Pause(0.05), Until()), watch=notes.append)
    assert (sorted(notes), seen.code) == (["", "asked", "one"], 1000)
    assert seen.seconds >= 0.05


def test_reads_nothing_meanwhile() -> None:
    """What the client has not read soon keeps the server from sending."""
    stuck = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.sendall(upgrade(request(connection)))
        connection.settimeout(0.05)
        with contextlib.suppress(socket.timeout):
            while True:
                connection.send(bytes(65536))
        stuck.set()

    with served(serve) as port:
        seen = visit(port, "/", steps=(Until("stuck"), Vanish()), watch=lambda note: stuck.wait(5))
    assert stuck.is_set()
    assert seen.left


@pytest.mark.parametrize("http", [1, 2])
def test_staying(http: int) -> None:
    left = threading.Event()

    def over_http1(connection: socket.socket) -> None:
        connection.sendall(upgrade(request(connection)))
        with contextlib.suppress(ConnectionError):
            connection.recv(1)

    def serve(connection: socket.socket) -> None:
        (HTTP2(respond("200")) if http == 2 else over_http1)(connection)
        left.set()

    with served(serve) as port:
        with staying(port, "/", http=http, patience=5.0):
            assert not left.is_set()
        assert left.wait(5)


def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        Wire(port, 0)


def test_close_without_code() -> None:
    assert opened(b"\x88\0").code == 1005


def test_more_after_close() -> None:
    assert opened(b"\x88\x02\x03\xe8", b"more", b"more").code == 1000


def test_no_close() -> None:
    assert opened().code == 1006


def test_left_open_after_close() -> None:
    assert opened(b"\x88\x02\x03\xe8", stay=True).hung


@pytest.mark.parametrize(
    "frame",
    [
        b"\x88\x02\x03\xee",  # 1006
        b"\x88\x02\x03\xed",  # 1005
        b"\x88\x02\x00\x01",  # 1
        b"\x88\x02\xff\xff",  # 65535
        b"\x88\x01\x03",  # half a code
        b"\x88\x03\x03\xe8\xff",  # a reason that is no UTF-8
        b"\x88\x7e\x00\x80",  # too long
        b"\x81\x82\0\0\0\0hi",  # masked
        b"\xc1\x02hi",  # a reserved bit
        b"\x83\0",  # an unknown opcode
        b"\x81\x01\xff",  # no UTF-8
        b"\x80\x01a",  # a continuation of nothing
    ],
)
def test_illegal_frame(frame: bytes) -> None:
    assert opened(frame).fault


def test_101_without_upgrade() -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(upgrade(request(connection)).replace(b"upgrade: websocket\r\n", b""))

    with served(serve) as port:
        assert visit(port, "/").fault


def test_more_headers() -> None:
    heads = []

    def serve(connection: socket.socket) -> None:
        heads.append(request(connection))
        connection.sendall(b"HTTP/1.1 403 \r\ncontent-length: 0\r\n\r\n")

    with served(serve) as port:
        assert visit(port, "/", headers=[("X-Token", "1"), ("x-token", "2")]).status == 403
    assert [line for line in heads[0].splitlines() if b"oken" in line] == [b"X-Token: 1", b"x-token: 2"]


def test_host_of_the_callers() -> None:
    heads = []

    def serve(connection: socket.socket) -> None:
        heads.append(request(connection))
        connection.sendall(b"HTTP/1.1 403 \r\ncontent-length: 0\r\n\r\n")

    with served(serve) as port:
        assert visit(port, "/", headers=[("Host", "example.org")]).status == 403
    assert [line for line in heads[0].splitlines() if b"host" in line.lower()] == [b"host: example.org"]
    with served(server := HTTP2(respond("403"), data(b"", end=True))) as port:
        visit(port, "/", http=2, headers=[("Host", "example.org")])
    assert (server.asked[":authority"], "host" in server.asked) == ("example.org", False)


def test_subprotocol_not_offered() -> None:
    assert "not offered" in opened(head=b"sec-websocket-protocol: other").fault


def test_extension_not_offered() -> None:
    assert "not offered" in opened(head=b"sec-websocket-extensions: permessage-deflate").fault


class HTTP2:
    """A server of one stream, which does to it what a test says."""

    def __init__(self, *steps: Callable[[h2.connection.H2Connection], None], connect: int = 1) -> None:
        self.steps = steps
        self.settings = {h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL: connect}
        self.asked: dict[str, str] = {}

    def __call__(self, connection: socket.socket) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        http.local_settings = h2.settings.Settings(client=False, initial_values=self.settings)
        http.initiate_connection()
        connection.sendall(http.data_to_send())
        while data := connection.recv(65536):
            for event in http.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    self.asked.update(event.headers)
                    for step in self.steps:
                        step(http)
                        connection.sendall(http.data_to_send())
            connection.sendall(http.data_to_send())


def respond(status: str, *more: tuple[str, str]) -> Callable[[h2.connection.H2Connection], None]:
    return lambda http: http.send_headers(1, [(":status", status), *more])


def data(content: bytes, end: bool = False) -> Callable[[h2.connection.H2Connection], None]:
    return lambda http: http.send_data(1, content, end_stream=end)


def over_http2(*steps: Callable[[h2.connection.H2Connection], None], client: tuple[Step, ...] = ()) -> Observation:
    with served(HTTP2(*steps)) as port:
        return visit(port, "/", http=2, steps=client, patience=0.5)


def test_http2_denial() -> None:
    seen = over_http2(
        respond("401"), lambda http: http.increment_flow_control_window(9, 1), data(b""), data(b"half", end=True)
    )
    assert (seen.status, seen.body, seen.cut, seen.opened, seen.fault) == (401, b"half", False, False, "")


def test_http2_messages_and_close() -> None:
    seen = over_http2(respond("200"), data(b"\x81\x02hi"), data(b"\x88\x02\x03\xe8", end=True))
    assert (seen.status, seen.messages, seen.code, seen.fault) == (200, ["hi"], 1000, "")


@pytest.mark.parametrize("reset", [False, True])
def test_http2_vanish(reset: bool) -> None:
    seen = over_http2(respond("200"), client=(Vanish(reset),))
    assert (seen.code, seen.left) == (None, True)


def test_http2_reset() -> None:
    reset = over_http2(respond("401"), data(b"half"), lambda http: http.reset_stream(1))
    assert (reset.status, reset.cut) == (401, True)
    assert over_http2(respond("200"), lambda http: http.reset_stream(1), client=(Say("hello"),)).code == 1006


def test_http2_reset_after_close() -> None:
    seen = over_http2(respond("200"), data(b"\x88\x02\x03\xe8"), lambda http: http.reset_stream(1))
    assert (seen.code, seen.fault) == (1000, "")


def test_http2_connection_ends() -> None:
    assert over_http2(lambda http: http.close_connection()).cut


def test_http2_lying_length() -> None:
    assert over_http2(respond("401", ("content-length", "9")), data(b"half", end=True)).fault


def test_http2_without_extended_connect() -> None:
    with served(HTTP2(connect=0)) as port:
        assert "CONNECT" in visit(port, "/", http=2).fault


def test_http2_server_hangs_up() -> None:
    with served(lambda connection: None) as port:
        assert visit(port, "/", http=2).cut


NAME = "guard.test"


@pytest.fixture(scope="module")
def root() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def leaf(root: trustme.CA) -> trustme.LeafCert:
    return root.create_child_ca().issue_cert(NAME, "127.0.0.1")


@pytest.fixture(scope="module")
def context(leaf: trustme.LeafCert) -> ssl.SSLContext:
    """Return the server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1", "h2"])
    leaf.configure_cert(context)
    return context


@pytest.fixture(scope="module")
def tls(root: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> TLS:
    """Return the client's."""
    bundle = tmp_path_factory.mktemp("tls") / "root.pem"
    root.cert_pem.write_to_path(bundle)
    return TLS(str(bundle), NAME)


def test_tls(tls: TLS, context: ssl.SSLContext) -> None:
    heads = []

    def serve(connection: socket.socket) -> None:
        heads.append(request(connection))
        connection.sendall(upgrade(heads[0]) + b"\x81\x02hi\x88\x02\x03\xe8")
        connection.recv(65536)

    with served(serve, context) as port:
        seen = visit(port, "/", tls=tls)
    assert (seen.status, seen.messages, seen.code, seen.fault) == (101, ["hi"], 1000, "")
    assert f"host: {NAME}:{port}".encode() in heads[0]


def test_tls_of_another_ca(context: ssl.SSLContext, tmp_path: Path) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with served(request, context) as port, pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
        visit(port, "/", tls=TLS(str(tmp_path / "other.pem"), NAME))


def test_tls_without_the_chain(tls: TLS, leaf: trustme.LeafCert, tmp_path: Path) -> None:
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "privkey.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "privkey.pem")
    with served(request, context) as port, pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
        visit(port, "/", tls=tls)


def test_tls_of_another_name(tls: TLS, context: ssl.SSLContext) -> None:
    with served(request, context) as port, pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        visit(port, "/", tls=TLS(tls.bundle, "other.test"))


def test_tls_that_does_not_answer(tls: TLS) -> None:
    with served(until_gone) as port, pytest.raises(socket.timeout):
        visit(port, "/", tls=tls, patience=0.05)


@pytest.mark.parametrize("reset", [False, True])
def test_tls_vanish(tls: TLS, context: ssl.SSLContext, reset: bool) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(upgrade(request(connection)))
        until_gone(connection)

    with served(serve, context) as port:
        seen = visit(port, "/", tls=tls, steps=(Vanish(reset),))
    assert (seen.code, seen.left, seen.hung) == (None, True, False)


def test_tls_ends_without_a_word(tls: TLS, context: ssl.SSLContext) -> None:
    with served(lambda connection: connection.sendall(upgrade(request(connection))), context) as port:
        seen = visit(port, "/", tls=tls, steps=(Say("hello"), Pause(0.01), Say("hello")))
    assert (seen.opened, seen.code, seen.hung) == (True, 1006, False)


def test_tls_ends_before_the_client_writes(tls: TLS, context: ssl.SSLContext) -> None:
    """As hypercorn cuts a connection of HTTP/2 that has been idle."""

    def serve(connection: ssl.SSLSocket) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            connection.unwrap()
        assert gone.wait(5)

    gone = threading.Event()
    with served(serve, context) as port:
        wire = Wire(port, time.monotonic() + 5, tls)
        assert wire.read() == b""
        gone.set()
    with wire.socket:
        wire.write(b"a")
        wire.write(b"b")


def test_http2_over_tls(tls: TLS, context: ssl.SSLContext) -> None:
    """It is agreed on in the handshake."""
    agreed = []
    server = HTTP2(respond("200"), data(b"\x88\x02\x03\xe8", end=True))

    def serve(connection: ssl.SSLSocket) -> None:
        agreed.append(connection.selected_alpn_protocol())
        server(connection)

    with served(serve, context) as port:
        seen = visit(port, "/", http=2, tls=tls)
    assert (agreed, seen.status, seen.code, seen.fault) == (["h2"], 200, 1000, "")
    assert (server.asked[":scheme"], server.asked[":authority"]) == ("https", f"{NAME}:{port}")


def test_plain_request_over_tls(tls: TLS, context: ssl.SSLContext) -> None:
    def serve(connection: socket.socket) -> None:
        request(connection)
        connection.sendall(b"HTTP/1.1 200 \r\ncontent-length: 2\r\n\r\nhi")

    with served(serve, context) as port:
        assert get(port, "/", 5.0, tls) == b"hi"
