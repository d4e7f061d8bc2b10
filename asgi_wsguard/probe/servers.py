"""The servers, each started by its own command as a process on a free port of the loopback interface."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_wsguard.probe.certificate import CERTIFICATE, KEY, self_signed
from asgi_wsguard.probe.differences import (
    CUT_SHORT,
    DAPHNE,
    GRANIAN,
    HYPERCORN_HTTP2,
    HYPERCORN_HTTP3,
    REFUSED,
    UVICORN_WEBSOCKETS,
)
from asgi_wsguard.probe.model import Closed, Cut, Denied, OneOf, Outcome, Scenario

if TYPE_CHECKING:
    from asgi_wsguard.probe.client import TLS

APP = "asgi_wsguard.probe.app:app"


@dataclass(frozen=True)
class Server:
    """A server, its command, and its limits."""

    name: str
    command: str
    """Python's arguments, with ``{port}`` and ``{app}``."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """Its modules, and the name of each for pip."""
    http: int = 1
    """The version of HTTP that the client uses; for 2 and 3, an extended CONNECT (RFC 8441 and 9220)."""
    lasts: bool = True
    """It keeps serving after a client; else it is restarted for each."""
    denial: bool = True
    """It has the ``websocket.http.response`` extension. Without it, every denial is a 403."""
    close_reason: bool = True
    """It sends a close reason."""
    drops: bool = False
    """Its ASGI version is older than 2.4, in which `send` after the end is a no-op instead of an error."""
    crash: bool = False
    """Its own crash path denies with 500, although it has no denial extension."""
    instead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What to expect of a scenario instead, by its name, because no guard can change it."""
    own_errors: tuple[str, ...] = ()
    """Exceptions that it logs, whatever the app does."""

    def arguments(self, port: int, app: str = APP, folder: str = "") -> list[str]:
        """Return the arguments that start it on the port; over QUIC, with the certificate in the folder."""
        files = {"certificate": f"{folder}/{CERTIFICATE}", "key": f"{folder}/{KEY}"}
        return self.command.format(port=port, app=app, **files).split()

    def missing(self) -> list[str]:
        """Return the missing packages, by their names for pip."""
        return [package for module, package in self.needs.items() if find_spec(module) is None]

    def versions(self) -> dict[str, str]:
        """Return the versions of its packages."""
        return {package: version(package) for package in self.needs.values()}

    def expects(self, scenario: Scenario) -> Scenario:
        """Return the scenario with the result that this server can have."""
        if self.drops:
            scenario = replace(scenario, **scenario.dropped)
        if not self.lasts and isinstance(scenario.client_gets, Closed):
            # The client's close frame ends it while the app, or the guard, may still be ending on its own.
            scenario = replace(scenario, logs=None, raises=None)
        scenario = replace(scenario, **self.instead.get(scenario.name, {}))
        denied = isinstance(scenario.client_gets, Denied) and scenario.client_gets.status == 500
        if self.crash and denied and scenario.raises:
            return replace(scenario, client_gets=Denied(500, body=None))
        if not self.denial and scenario.clause in ("H6", "H8"):
            scenario = replace(scenario, logs="WARNING H9")
        return replace(scenario, client_gets=self._sends(scenario.client_gets))

    def _sends(self, outcome: Outcome) -> Outcome:
        if isinstance(outcome, OneOf):
            return OneOf(tuple(self._sends(one) for one in outcome.outcomes))
        if isinstance(outcome, (Denied, Cut)) and not self.denial:
            return Denied(403, body=None)
        if isinstance(outcome, Closed) and not self.close_reason:
            return replace(outcome, reason="")
        return outcome


UVICORN = {"uvicorn": "uvicorn", "websockets": "websockets"}
HYPERCORN = {"hypercorn": "hypercorn", "wsproto": "wsproto"}
ANYCORN = {"anycorn": "anycorn", "wsproto": "wsproto"}

SERVERS = (
    Server("uvicorn-sansio", "-m uvicorn --ws websockets-sansio --port {port} {app}", UVICORN),
    Server(
        "uvicorn-websockets",
        "-m uvicorn --ws websockets --port {port} {app}",
        UVICORN,
        instead=UVICORN_WEBSOCKETS,
    ),
    Server(
        "uvicorn-wsproto", "-m uvicorn --ws wsproto --port {port} {app}", {"uvicorn": "uvicorn", "wsproto": "wsproto"}
    ),
    Server("hypercorn-asyncio", "-m hypercorn -k asyncio -b 127.0.0.1:{port} {app}", HYPERCORN, drops=True),
    Server(
        "hypercorn-trio",
        "-m hypercorn -k trio -b 127.0.0.1:{port} {app}",
        {**HYPERCORN, "trio": "trio"},
        instead=CUT_SHORT,
        drops=True,
    ),
    Server(
        "hypercorn-uvloop",
        "-m hypercorn -k uvloop -b 127.0.0.1:{port} {app}",
        {**HYPERCORN, "uvloop": "uvloop"},
        drops=True,
    ),
    Server(
        "hypercorn-http2",
        # It never ends the stream of an app that crashed. The client is released when the idle connection is cut.
        "-m hypercorn -k asyncio --keep-alive 1 -b 127.0.0.1:{port} {app}",
        {**HYPERCORN, "h2": "h2"},
        http=2,
        own_errors=("KeyError: 1",),
        instead=HYPERCORN_HTTP2,
        drops=True,
    ),
    Server("anycorn-asyncio", "-m anycorn -k asyncio -b 127.0.0.1:{port} {app}", ANYCORN, drops=True),
    Server(
        "anycorn-trio",
        "-m anycorn -k trio -b 127.0.0.1:{port} {app}",
        {**ANYCORN, "trio": "trio"},
        instead=CUT_SHORT,
        drops=True,
    ),
    Server(
        "daphne",
        "-m daphne -b 127.0.0.1 -p {port} {app}",
        {"daphne": "daphne"},
        denial=False,
        close_reason=False,
        instead=DAPHNE,
        own_errors=("CancelledError", REFUSED),  # up to a second late
        drops=True,
        crash=True,
    ),
    Server(
        "granian",
        "-m granian --interface asgi --port {port} {app}",
        {"granian": "granian"},
        instead=GRANIAN,
        drops=True,
    ),
    Server(
        "gunicorn-asgi",
        "-m gunicorn --no-control-socket -k asgi -b 127.0.0.1:{port} {app}",
        {"gunicorn": "gunicorn"},
        denial=False,
        crash=True,
    ),
    Server(
        "gunicorn-uvicorn",
        "-m gunicorn --no-control-socket -k uvicorn_worker.UvicornWorker -b 127.0.0.1:{port} {app}",
        {"gunicorn": "gunicorn", "uvicorn_worker": "uvicorn-worker", **UVICORN},
    ),
)

HYPERCORN_OVER_HTTP3 = Server(
    "hypercorn-http3",
    "-m hypercorn -k asyncio -b 127.0.0.1:{port} --quic-bind 127.0.0.1:{port} --certfile {certificate} --keyfile {key} "
    "{app}",
    {**HYPERCORN, "aioquic": "aioquic"},
    http=3,
    lasts=False,
    instead=HYPERCORN_HTTP3,
    own_errors=("CancelledError", "is shutting down"),
    drops=True,
)
SETUPS = (*SERVERS, HYPERCORN_OVER_HTTP3)
"""All servers, also the one that does not outlast its clients, which only the probe and the tests support."""


@dataclass(frozen=True)
class Running:
    """The process of a server that answers."""

    server: Server
    port: int
    process: subprocess.Popen[bytes]
    logfile: Path
    tls: TLS | None = None
    """How to connect to it over TLS; `None` without TLS."""

    def log(self, start: int = 0) -> str:
        """Return its output from this byte on."""
        return self.logfile.read_bytes()[start:].decode(errors="replace")


start = subprocess.Popen
"""Starts a process. The project's own tests replace it."""


@contextlib.contextmanager
def running(
    server: Server,
    *,
    app: str = APP,
    python: str = sys.executable,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
    tls: TLS | None = None,
    patience: float = 5.0,
    port: int | None = None,
) -> Iterator[Running]:
    """Start the server, wait until it answers, and at the end stop it and all of its child processes.

    Args:
        server: the server.
        app: its app, as ``module:app``.
        python: its interpreter.
        env: environment variables, in addition to those of this process.
        folder: its working directory. Default: that of this process.
        tls: how to connect over TLS; `None` without TLS, and over QUIC, which has its own certificate.
        patience: seconds that it has to stop on its own.
        port: its port. Default: a free one.

    Raises:
        RuntimeError: the server did not start; its output is in the message.
    """
    port = free_port() if port is None else port
    with tempfile.TemporaryDirectory() as logs:
        logfile = Path(logs, "log")
        tls = self_signed(Path(logs)) if server.http == 3 else tls
        with logfile.open("wb") as output:
            process = start(
                [python, *server.arguments(port, app, logs)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                start_new_session=True,
            )
        process_is_up = Running(server, port, process, logfile, tls)
        try:
            _wait_until_it_answers(process, process_is_up)
            yield process_is_up
        finally:
            stop(process, patience)


def stop(process: subprocess.Popen[bytes], patience: float = 5.0) -> bool:
    """Terminate the process, and kill it after this many seconds; return whether it ended on its own."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    by_itself = process.poll() is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return by_itself


PORTS = range(10_000, 32_768)
"""Below the ports that Linux gives to clients, one of which might take the port before the server does."""

_given: set[int] = set()
"""The ports already given out, also to servers that do not listen yet."""


def free_port() -> int:
    """Return a free port of the loopback interface."""
    port = random.choice(PORTS)
    with socket.socket() as free, contextlib.suppress(OSError):
        free.bind(("127.0.0.1", port))
        if port not in _given:
            _given.add(port)
            return port
    return free_port()


STARTING = 120.0
"""Seconds that a server has until it answers: an app may import a lot, for the first time, on a busy machine."""


def _wait_until_it_answers(process: subprocess.Popen[bytes], server: Running) -> None:
    deadline = time.monotonic() + STARTING
    while not answers(server.port, tls=server.tls):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.server.name} did not start:\n{server.log()}")
        time.sleep(0.02)


def answers(port: int, patience: float = 5.0, tls: TLS | None = None) -> bool:
    """Return whether the server answers an HTTP request."""
    try:
        get(port, "/", patience, tls)
    except OSError:
        return False
    return True


def get(port: int, path: str, patience: float, tls: TLS | None = None) -> bytes:
    """Return the body of the answer to an HTTP request."""
    scheme, context = ("https", tls.context()) if tls else ("http", None)
    with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}{path}", timeout=patience, context=context) as response:
        body: bytes = response.read()
        return body
