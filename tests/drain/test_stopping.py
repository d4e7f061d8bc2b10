"""Servers that are told to stop at awkward times: while they start, by Ctrl+C with --reload, and amid handshakes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from app_process import notes, started
from starting_app import IS_DOWN, IS_UP, MAY_START, NOTES, STARTS
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from asgi_wsguard.probe.servers import SERVERS, Server, free_port, get
from harness.forks import forked_again as forked_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
BY_NAME = {server.name: server for server in SERVERS}
PATIENCE = 20.0


# While they start


@contextlib.contextmanager
def killing(process: subprocess.Popen[str]) -> Iterator[None]:
    """Leave nothing of it behind."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def stopped_at_start(server: Server, app: str, number: int, folder: Path) -> tuple[int, set[str], str]:
    """Signal the server while the app starts; return its status, what the app has noted, and what stands in the log."""
    folder.mkdir()
    command = [sys.executable, *server.arguments(free_port(), f"starting_app:{app}", str(folder))]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE), *sys.path)), NOTES: str(folder)}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, env=env, start_new_session=True, **output) as process, killing(process):
        deadline = time.monotonic() + PATIENCE
        while not (folder / STARTS).exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        (folder / MAY_START).touch()
        log, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, {file.name for file in folder.iterdir()}, log


STARTING = ["uvicorn-sansio", "hypercorn-asyncio", "granian", "gunicorn-asgi"]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        *((name, number) for name in STARTING for number in (signal.SIGTERM, signal.SIGINT)),
        # On SIGINT uvicorn's worker (0.4.0) runs until gunicorn kills it after 30 s, without the guard, too.
        ("gunicorn-uvicorn", signal.SIGTERM),
    ],
    ids=lambda one: getattr(one, "name", one),
)
def test_d5_while_they_start(name: str, number: signal.Signals, tmp_path: Path) -> None:
    """There is nothing to drain, and the server stops as it does without the guard."""
    with ThreadPoolExecutor(2) as both:
        apps = ("bare", "guarded")
        bare, guarded = both.map(lambda app: stopped_at_start(BY_NAME[name], app, number, tmp_path / app), apps)
    assert guarded[:2] == bare[:2]
    assert IS_UP in guarded[1]
    # On SIGINT gunicorn's own worker (27.0.1) skips the end of the lifespan.
    assert (IS_DOWN in guarded[1]) is ((name, number) != ("gunicorn-asgi", signal.SIGINT))
    assert ("Traceback" in guarded[2]) is ("Traceback" in bare[2])
    assert "wsguard" not in guarded[2]


# Ctrl+C


@pytest.mark.parametrize("on", ["SIGTERM", "SIGTERM SIGINT"])
def test_d5_ctrl_c_with_reload(on: str, tmp_path: Path) -> None:
    """The terminal tells both processes, and then the supervisor tells the server: that is twice, so nothing waits."""
    server = BY_NAME["uvicorn-sansio"]
    server = replace(server, command=f"{server.command} --reload --reload-dir {tmp_path}")
    status = {}
    for app in ("bare", "app"):
        folder = tmp_path / app
        folder.mkdir()
        with started(server, app, folder, DRAIN_ON=on, DRAIN_GRACE="60") as process:
            with connect(f"ws://127.0.0.1:{process.port}/") as websocket:
                os.killpg(process.process.pid, signal.SIGINT)
                with pytest.raises(ConnectionClosed) as closed:
                    websocket.recv(timeout=PATIENCE)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
            status[app] = process.process.wait(PATIENCE)
            assert "Traceback" not in process.log()
            assert "wsguard-D5" not in process.log()
    assert status["app"] == status["bare"]


# Amid handshakes

HANDSHAKES = 500


@pytest.mark.parametrize("name", ["uvicorn-sansio", "uvicorn-wsproto", "hypercorn-asyncio", "granian"])
def test_d1_amid_500_handshakes(name: str, tmp_path: Path) -> None:
    """Half of them wait for the app, and the other half is not there in full: each is turned away with 503."""
    with started(BY_NAME[name], "app", tmp_path, DRAIN_GRACE="60") as process:
        # It keeps the drain from its end.
        with connect(f"ws://127.0.0.1:{process.port}/"):

            def undecided() -> int:
                return sum(what == "undecided" for what, _ in notes(tmp_path))

            def stop() -> None:
                process.process.terminate()
                assert get(process.port, "/draining", PATIENCE) == b"ok"

            answers = asyncio.run(asyncio.wait_for(_handshakes(process.port, undecided, stop), 2 * PATIENCE))
        assert answers == {b"503": HANDSHAKES}
        process.process.wait(PATIENCE)
        assert "Traceback" not in process.log()


async def _handshakes(port: int, undecided: Callable[[], int], stop: Callable[[], None]) -> Counter[bytes]:
    """Return with what status they are answered, and how many."""
    request = (
        b"GET /undecided HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(HANDSHAKES)]
    for number, (_, writer) in enumerate(clients):
        writer.write(request if number % 2 else request + b"\r\n")
    while undecided() < HANDSHAKES / 2:
        await asyncio.sleep(0.02)
    await asyncio.to_thread(stop)
    for _, writer in clients[1::2]:
        writer.write(b"\r\n")
    answers = Counter([(await reader.readline()).split()[1] for reader, _ in clients])
    for _, writer in clients:
        writer.close()
    return answers
