"""The servers, each started by its own command as a process on a free loopback port."""

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

from asgi_wsguard.probe.model import Closed, Cut, Denied, OneOf, Outcome, Scenario

if TYPE_CHECKING:
    from asgi_wsguard.probe.client import TLS

APP = "asgi_wsguard.probe.app:app"


@dataclass(frozen=True)
class Server:
    """A server, how it is started, and what it cannot do."""

    name: str
    command: str
    """Python's arguments, with ``{port}`` and ``{app}``."""
    needs: Mapping[str, str] = field(default_factory=dict)
    """The modules that it is made of, and what pip calls each."""
    http2: bool = False
    """The client speaks HTTP/2 to it: extended CONNECT, RFC 8441."""
    denial: bool = True
    """It has the ``websocket.http.response`` extension; without, every denial is a 403."""
    close_reason: bool = True
    """It sends the reason of a close."""
    instead: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What else is expected of a scenario, by its name, because no guard can make the server do it."""
    own_errors: tuple[str, ...] = ()
    """Exceptions that it logs by itself, whatever the app does."""

    def arguments(self, port: int, app: str = APP) -> list[str]:
        """Return the arguments that start it on the port."""
        return self.command.format(port=port, app=app).split()

    def missing(self) -> list[str]:
        """Return what pip must install before it can start."""
        return [package for module, package in self.needs.items() if find_spec(module) is None]

    def versions(self) -> dict[str, str]:
        """Return the releases of what it is made of."""
        return {package: version(package) for package in self.needs.values()}

    def expects(self, scenario: Scenario) -> Scenario:
        """Return the scenario with what this server can do of it."""
        scenario = replace(scenario, **self.instead.get(scenario.name, {}))
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


REFUSED = "invalid close code"
"""In the text of the exception by which daphne refuses one."""


NEVER_STUCK: Mapping[str, Any] = {
    "client_gets": OneOf((Closed(1000, messages=None), Closed(1006, messages=None))),
    "app_sees": (),
    "logs": "DEBUG O1",
    "client_waits": 0.0,
    "steps": (),
}
"""It takes all that the app sends, and keeps what the client does not read."""

CUT_SHORT: Mapping[str, Any] = {"closes-and-left": {"client_gets": OneOf((Closed(4001), Closed(1000), Closed(1006)))}}
"""It takes the client's close for the answer to its own, and cuts the connection before that one is out."""

UVICORN = {"uvicorn": "uvicorn", "websockets": "websockets"}
HYPERCORN = {"hypercorn": "hypercorn", "wsproto": "wsproto"}
ANYCORN = {"anycorn": "anycorn", "wsproto": "wsproto"}

SERVERS = (
    Server("uvicorn-sansio", "-m uvicorn --ws websockets-sansio --port {port} {app}", UVICORN),
    Server(
        "uvicorn-websockets",
        "-m uvicorn --ws websockets --port {port} {app}",
        UVICORN,
        instead={
            # It answers as soon as the denial begins, and takes what there is of the body for the whole.
            "raises-inside-body": {"client_gets": Denied(401, body=b"half")},
            # It takes no message while another one is stuck.
            "returns-in-vain": {"logs": "ERROR O1", "raises": "AssertionError"},
        },
    ),
    Server(
        "uvicorn-wsproto", "-m uvicorn --ws wsproto --port {port} {app}", {"uvicorn": "uvicorn", "wsproto": "wsproto"}
    ),
    Server("hypercorn-asyncio", "-m hypercorn -k asyncio -b 127.0.0.1:{port} {app}", HYPERCORN),
    Server(
        "hypercorn-trio",
        "-m hypercorn -k trio -b 127.0.0.1:{port} {app}",
        {**HYPERCORN, "trio": "trio"},
        instead=CUT_SHORT,
    ),
    Server("hypercorn-uvloop", "-m hypercorn -k uvloop -b 127.0.0.1:{port} {app}", {**HYPERCORN, "uvloop": "uvloop"}),
    Server(
        "hypercorn-http2",
        # It never ends the stream of an app that crashed: the client gets out when the idle connection is cut.
        "-m hypercorn -k asyncio --keep-alive 1 -b 127.0.0.1:{port} {app}",
        {**HYPERCORN, "h2": "h2"},
        http2=True,
        # It forgets the stream with its close frame, and stumbles over the client's,
        own_errors=("KeyError: 1",),
        instead={
            # which cancels the app.
            "waits-until-left": {"logs": "DEBUG O3", "app_stays": 0.0},
            "ignores-everything": {"logs": "DEBUG O3", "app_stays": 0.0},
            "pushes-until-left": {"logs": None},
            "lives-on": {"logs": None},
            "stays-after-close": {"logs": "", "app_stays": 0.0},
            "loops-after-leaving": {"app_sees": None},
            "loops-after-close": {"app_sees": None},
            # It lets no app wait for a client that does not read.
            "sends-in-vain": NEVER_STUCK,
        },
    ),
    Server("anycorn-asyncio", "-m anycorn -k asyncio -b 127.0.0.1:{port} {app}", ANYCORN),
    Server(
        "anycorn-trio",
        "-m anycorn -k trio -b 127.0.0.1:{port} {app}",
        {**ANYCORN, "trio": "trio"},
        instead=CUT_SHORT,
    ),
    Server(
        "daphne",
        "-m daphne -b 127.0.0.1 -p {port} {app}",
        {"daphne": "daphne"},
        denial=False,
        close_reason=False,
        # It sends 1000 and 3000-4999 only, but 1011 when the app has crashed (O11).
        instead={
            "accepts-and-is-cancelled": {"client_gets": Closed(1011), "logs": "ERROR O3", "raises": REFUSED},
            "closes-1006": {"logs": "ERROR O2", "raises": REFUSED},
            "closes-1015": {"logs": "ERROR O2", "raises": REFUSED},
            "idles": {"client_gets": Closed(1011), "app_sees": (), "logs": "ERROR O13", "raises": REFUSED},
            **CUT_SHORT,
            # Either the app is cancelled, or a send of its own fails first.
            "lives-on": {"client_gets": Closed(1011, messages=None), "logs": "ERROR O14", "raises": None},
            "lives-and-left": {"client_gets": OneOf((Closed(1000), Closed(1011)))},
            "sends-in-vain": NEVER_STUCK,
            "returns-in-vain": {"logs": "DEBUG O1"},
        },
        own_errors=("CancelledError", REFUSED),  # up to a second late
    ),
    Server(
        "granian",
        "-m granian --interface asgi --port {port} {app}",
        {"granian": "granian"},
        instead={
            # It takes the body of a denial in one piece only: the app sees its error, and the client the status (H7).
            **{
                name: {"client_gets": Denied(401, body=b""), "logs": "ERROR H7", "raises": "RuntimeError"}
                for name in ("denies", "returns-inside-body", "raises-inside-body")
            },
            # It tells nobody that the client has left before the handshake is answered, and refuses the answer then.
            **{
                name: {"app_sees": ("waiting",), "logs": "ERROR H4", "raises": "RuntimeError"}
                for name in ("accepts-too-late", "accepts-after-reset", "denies-too-late")
            },
            "never-decides": {"logs": "ERROR H4", "raises": "RuntimeError"},
        },
    ),
    Server(
        "gunicorn-asgi",
        "-m gunicorn --no-control-socket -k asgi -b 127.0.0.1:{port} {app}",
        {"gunicorn": "gunicorn"},
        denial=False,
    ),
    Server(
        "gunicorn-uvicorn",
        "-m gunicorn --no-control-socket -k uvicorn_worker.UvicornWorker -b 127.0.0.1:{port} {app}",
        {"gunicorn": "gunicorn", "uvicorn_worker": "uvicorn-worker", **UVICORN},
    ),
)


@dataclass(frozen=True)
class Running:
    """A server's process that answers."""

    server: Server
    port: int
    process: subprocess.Popen[bytes]
    logfile: Path
    tls: TLS | None = None
    """How it is asked, if over TLS."""

    def log(self, start: int = 0) -> str:
        """Return what it has printed from that byte on."""
        return self.logfile.read_bytes()[start:].decode(errors="replace")


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
    """Start the server, wait until it answers, and stop it in the end, with all that it has started.

    Args:
        server: which one.
        app: where its app is.
        python: the interpreter that it runs on.
        env: what its environment has beside this one's.
        folder: where it runs. Default where this one does.
        tls: how it is asked; `None` without TLS.
        patience: seconds that it has in the end to stop by itself.
        port: where it listens. Default a free one.

    Raises:
        RuntimeError: it did not start; its output is in the message.
    """
    port = free_port() if port is None else port
    with tempfile.TemporaryDirectory() as logs:
        logfile = Path(logs, "log")
        with logfile.open("wb") as output:
            process = subprocess.Popen(
                [python, *server.arguments(port, app)],
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
    """Ask the process to end, and make it after that many seconds; tell whether it ended by itself."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(patience)
    by_itself = process.poll() is not None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return by_itself


PORTS = range(10_000, 32_768)
"""Below those that Linux gives to clients, one of which might be quicker than the server."""

_given: set[int] = set()
"""Ports, also of servers that do not listen yet."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at."""
    port = random.choice(PORTS)
    with socket.socket() as free, contextlib.suppress(OSError):
        free.bind(("127.0.0.1", port))
        if port not in _given:
            _given.add(port)
            return port
    return free_port()


def _wait_until_it_answers(process: subprocess.Popen[bytes], server: Running, patience: float = 30.0) -> None:
    deadline = time.monotonic() + patience
    while not answers(server.port, tls=server.tls):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{server.server.name} did not start:\n{server.log()}")
        time.sleep(0.02)


def answers(port: int, patience: float = 5.0, tls: TLS | None = None) -> bool:
    """Tell whether the server answers a plain request."""
    try:
        get(port, "/", patience, tls)
    except OSError:
        return False
    return True


def get(port: int, path: str, patience: float, tls: TLS | None = None) -> bytes:
    """Return the body of a plain request's answer."""
    scheme, context = ("https", tls.context()) if tls else ("http", None)
    with urllib.request.urlopen(f"{scheme}://127.0.0.1:{port}{path}", timeout=patience, context=context) as response:
        body: bytes = response.read()
        return body
