"""The visit of one client: it connects, takes its steps, and waits for the end."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Callable, Union

import h2.exceptions
import h11
from wsproto.frame_protocol import ParseFailed

from asgi_wsguard.probe.client.http1 import HTTP1
from asgi_wsguard.probe.client.http2 import HTTP2
from asgi_wsguard.probe.client.observation import ABNORMAL, Observation
from asgi_wsguard.probe.client.websocket import Websocket
from asgi_wsguard.probe.client.wire import TLS, Cut, Fault, Wire
from asgi_wsguard.probe.model import Early, Pause, Step, Until, Vanish

if TYPE_CHECKING:
    from asgi_wsguard.probe.client.http3 import HTTP3

Watch = Callable[[str], object]
Connection = Union[HTTP1, HTTP2, "HTTP3"]


def visit(
    port: int,
    path: str,
    *,
    subprotocols: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    early: Sequence[Early] = (),
    steps: Sequence[Step] = (),
    http: int = 1,
    tls: TLS | None = None,
    patience: float = 5.0,
    watch: Watch = lambda note: None,
) -> Observation:
    """Connect, take the steps, wait for the end, and return what was seen.

    `http` is the version of HTTP: 1, 2 or 3. `watch(note)` returns once the app has noted this, or has ended.
    """
    seen = Observation()
    start = time.monotonic()
    connection = _connect(port, http, tls, start + patience)
    try:
        connection.request(path, subprotocols, headers)
        _take_early(connection, seen, early, watch)
        if not seen.left:
            _talk(connection, seen, subprotocols, steps, watch)
    except Cut:
        seen.cut = not seen.opened
        seen.code = ABNORMAL if seen.opened else None
    except (h11.ProtocolError, h2.exceptions.ProtocolError, ParseFailed, Fault) as fault:
        seen.fault = str(fault)
    except socket.timeout:
        seen.hung = True
    finally:
        connection.hang_up()
        seen.seconds = time.monotonic() - start
    return seen


@contextlib.contextmanager
def staying(port: int, path: str, *, http: int, patience: float, tls: TLS | None = None) -> Iterator[None]:
    """Keep a websocket open meanwhile, and reset it at the end."""
    connection = _connect(port, http, tls, time.monotonic() + patience)
    try:
        connection.request(path, ())
        connection.answer()
        yield
    finally:
        connection.vanish(reset=True)
        connection.hang_up()


def _connect(port: int, http: int, tls: TLS | None, deadline: float) -> Connection:
    if http == 3:
        # Only those who probe HTTP/3 need aioquic, and its dependency cryptography.
        from asgi_wsguard.probe.client.http3 import HTTP3

        assert tls is not None  # QUIC is always encrypted
        return HTTP3(port, deadline, tls)
    return HTTP2(Wire(port, deadline, tls, "h2")) if http == 2 else HTTP1(Wire(port, deadline, tls))


def _take_early(connection: Connection, seen: Observation, steps: Sequence[Early], watch: Watch) -> None:
    for step in steps:
        if isinstance(step, Vanish):
            _vanish(connection, seen, step)
        else:
            _wait(step, watch)


def _talk(
    connection: Connection, seen: Observation, subprotocols: Sequence[str], steps: Sequence[Step], watch: Watch
) -> None:
    seen.status, seen.headers, seen.opened = connection.answer()
    if not seen.opened:
        for chunk in iter(connection.read_body, b""):
            seen.body += chunk
        return
    if "sec-websocket-extensions" in dict(seen.headers):
        raise Fault("an extension that was not offered")
    seen.subprotocol = dict(seen.headers).get("sec-websocket-protocol")
    if seen.subprotocol not in (None, *subprotocols):
        raise Fault(f"the subprotocol {seen.subprotocol!r}, which was not offered")
    websocket = Websocket(connection, seen)
    for step in steps:
        if isinstance(step, Vanish):
            return _vanish(connection, seen, step)
        if isinstance(step, (Until, Pause)):
            _wait(step, watch)
        else:
            websocket.take(step)
    websocket.end()


def _wait(step: Until | Pause, watch: Watch) -> None:
    if isinstance(step, Until):
        watch(step.note)
    else:
        time.sleep(step.seconds)


def _vanish(connection: Connection, seen: Observation, step: Vanish) -> None:
    connection.vanish(step.reset)
    seen.left = True
