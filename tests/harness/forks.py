"""Server processes that are forks of a process that has imported the server, which takes a tenth of the time.

A test module that imports the fixture `forked` starts its servers so, and one that imports `forked_again` all but the
first of each. Others, as `servers/test_contract.py`, have real starts only.
"""

from __future__ import annotations

import atexit
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from asgi_wsguard.probe import servers
from harness import zygote

GUARD = ("asgi_wsguard.middleware", "asgi_wsguard.connection", "asgi_wsguard.probe.scenarios", "asgi_wsguard.runtime")
ASYNCIO = ("asyncio", "anyio._backends._asyncio", "asgi_wsguard.runtime.on_asyncio")
TRIO = ("trio", "anyio._backends._trio", "asgi_wsguard.runtime.on_trio")
UVICORN = ("uvicorn.main", "uvicorn.lifespan.on", "uvicorn.protocols.http.httptools_impl", "uvloop")
IMPORTS = {
    "-m uvicorn": (*GUARD, *ASYNCIO, *UVICORN),
    "-m hypercorn": (*GUARD, "hypercorn.__main__", "wsproto"),
    "-m hypercorn -k asyncio": (*ASYNCIO, "hypercorn.asyncio.run"),
    "-m hypercorn -k uvloop": (*ASYNCIO, "hypercorn.asyncio.run", "uvloop"),
    "--quic-bind": ("aioquic.h3.connection", "aioquic.quic.connection"),
    "-m anycorn": (*GUARD, "anycorn.__main__", "wsproto"),
    "-m anycorn -k asyncio": ASYNCIO,
    "-k trio": TRIO,
    # Not daphne itself, as Twisted's reactor opens files when it is imported.
    "-m daphne": (*GUARD, *ASYNCIO, "autobahn.twisted.websocket", "twisted.internet.endpoints", "twisted.web.http"),
    "-m gunicorn": (*GUARD, *ASYNCIO, "gunicorn.app.wsgiapp"),
    "-k asgi": ("gunicorn.workers.gasgi",),
    "-k uvicorn_worker.UvicornWorker": (*UVICORN, "uvicorn_worker"),
    "HARMLESS_MODULES=strawberry_": ("harmless.apps.strawberry_",),
}
"""What a server imports whose command has this text. Not granian: its threads do not survive a fork."""
SERVERS = ("uvicorn", "hypercorn", "anycorn", "daphne", "gunicorn")

_zygotes: dict[tuple[str, ...], socket.socket] = {}
_starting = threading.Lock()


class Fork(subprocess.Popen[bytes]):
    """A process that is a fork, if its command is that of a server that can be."""

    def _execute_child(self, args: Any, *more: Any) -> None:
        (_, _, _, _, cwd, env, _, _, _, stdin, stdin_write, stdout_read, stdout, stderr_read, stderr) = more[:15]
        if args[0] != sys.executable or args[2] not in SERVERS:
            super()._execute_child(args, *more)  # type: ignore[misc]
            return
        command = " ".join([*args, f"HARMLESS_MODULES={env.get('HARMLESS_MODULES')}"])
        modules = tuple(dict.fromkeys(module for text in IMPORTS if text in command for module in IMPORTS[text]))
        # gunicorn asks for the folder when it is imported.
        key = (os.fspath(cwd or os.getcwd()), *modules)
        with _starting:
            if key not in _zygotes:
                _zygotes[key] = _zygote(*key)
        files = {0: stdin, 1: stdout, 2: stderr}
        self.pid = zygote.request(_zygotes[key], files, args=args, env=env, session=True)
        self._child_created = True
        self._close_pipe_fds(stdin, stdin_write, stdout_read, stdout, stderr_read, stderr)  # type: ignore[attr-defined]


def _zygote(folder: str, *modules: str) -> socket.socket:
    client, server = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, zygote.SIZE)
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    env.pop("PYTHONPATH", None)
    with server:
        command = [sys.executable, zygote.__file__, str(server.fileno()), *modules]
        process = subprocess.Popen(command, cwd=folder, env=env, pass_fds=[server.fileno()], start_new_session=True)

    def end() -> None:
        client.close()
        process.wait()

    atexit.register(end)
    return client


@pytest.fixture(autouse=True, scope="module")
def forked() -> Iterator[None]:
    """Let all servers of the module be forks."""
    with mock.patch.object(servers, "start", Fork):
        yield


@pytest.fixture(autouse=True, scope="module")
def forked_again() -> Iterator[None]:
    """Let the servers of the module be forks, but the first of each command, such as uvicorn."""
    started = set()

    def start(args: list[str], **options: Any) -> subprocess.Popen[bytes]:
        kind = Fork if args[2] in started else subprocess.Popen
        started.add(args[2])
        return kind(args, **options)

    with mock.patch.object(servers, "start", start):
        yield
