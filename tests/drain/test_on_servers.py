"""SIGTERM on every server, with two hundred clients on it: each gets its close in its turn, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Barrier

import pytest
from app_process import notes, started
from crowd import CLIENTS, Crowd, crowd
from drain_app import GRACE, SPREAD, STARTED
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from asgi_wsguard.probe.client import Observation, visit
from asgi_wsguard.probe.judge import COARSE, exceptions
from asgi_wsguard.probe.model import Hear, Say, Until
from asgi_wsguard.probe.servers import REFUSED, SERVERS, Running, Server, get
from harness.forks import forked_again as forked_again

HERE = Path(__file__).parent
BY_NAME = {server.name: server for server in SERVERS}
ROWS = json.loads((HERE.parents[1] / "docs" / "deploy" / "servers.json").read_text(encoding="utf-8"))
LATE = GONE = 15.0
"""Seconds. uvicorn looks at its supervisor's signals twice a second, gunicorn and daphne look once. The rest is for a
busy machine: one that waits for its clients waits for ever, or 30 s."""
ATTEMPTS = 4
LONGER_THAN_ANY_WAITS = 5.0
"""Seconds. Hypercorn and anycorn cut after 3."""


@dataclass(frozen=True)
class Played:
    """What came of it."""

    server: Server
    crowd: Crowd
    answered: dict[str, int]
    """What the app says: how many messages of each client it has answered."""
    log: str
    status_without: int
    """The exit status of the same server without the guard,"""
    code_without: int | None
    """and what its client got; `None` if it waited for the client."""


@pytest.fixture(scope="class")
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Played:
    folder = tmp_path_factory.mktemp("guarded")
    with ThreadPoolExecutor(1) as beside:
        without = beside.submit(_without_the_guard, request.param, tmp_path_factory.mktemp("bare"))
        with started(request.param, "app", folder) as process:
            seen = crowd(process)
            log = process.log()
    answered = {path: int(count) for path, count in notes(folder) if path != STARTED}
    return Played(request.param, seen, answered, log, *without.result())


def _without_the_guard(server: Server, folder: Path) -> tuple[int, int | None]:
    """Return the exit status, and what an idle client got; `None` if the server waited for it."""
    try:
        return _stopped(server, folder / "first")
    except subprocess.TimeoutExpired:  # granian with two workers (2.8.7), on a busy machine, now and then never ends
        return _stopped(server, folder / "second")


def _stopped(server: Server, folder: Path) -> tuple[int, int | None]:
    folder.mkdir()
    with started(server, "bare", folder) as bare:
        code = _stop_with_a_client(bare)
        return bare.process.wait(10), code


def _stop_with_a_client(bare: Running) -> int | None:
    with connect(f"ws://127.0.0.1:{bare.port}/", close_timeout=1) as websocket:
        bare.process.terminate()
        try:
            websocket.recv(timeout=LONGER_THAN_ANY_WAITS)
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006
        except TimeoutError:
            return None
    raise AssertionError("a message that nobody sent")


def _is_herd(seen: Crowd) -> bool:
    """Return whether most of them were closed within a tenth of the spread."""
    closed = sorted(client.closed_at for client in seen.clients)
    most = CLIENTS * 3 // 4
    return min(last - first for first, last in zip(closed, closed[most:])) <= SPREAD / 10


class EveryServer:
    def test_each_client_gets_its_close(self, played: Played) -> None:
        code = 1011 if not played.server.close_reason else 1012  # O11, on daphne
        assert [client.code for client in played.crowd.clients] == [code] * CLIENTS

    def test_without_the_guard_it_is_as_the_docs_say(self, played: Played) -> None:
        for row in ROWS:
            if row["shown"] == played.server.name:
                assert played.code_without == row["code"]

    def test_none_before_its_turn(self, played: Played) -> None:
        assert played.crowd.first >= played.crowd.signalled_at + GRACE - COARSE

    def test_all_within_grace_and_spread(self, played: Played) -> None:
        assert played.crowd.last <= played.crowd.signalled_at + GRACE + SPREAD + LATE

    def test_they_are_no_herd(self, played: Played, tmp_path: Path) -> None:
        herds = [_is_herd(played.crowd)]
        # A busy machine may hold them up, and let them come at once. A drain that makes a herd makes one each time.
        while all(herds) and len(herds) < ATTEMPTS and played.server.close_reason:
            folder = tmp_path / str(len(herds))
            folder.mkdir()
            with started(played.server, "app", folder) as process:
                herds.append(_is_herd(crowd(process)))
        # Daphne refuses 1012, and ends what has crashed once a second (O11).
        assert not all(herds) or not played.server.close_reason

    def test_no_message_is_lost(self, played: Played) -> None:
        """What the app has answered, its client has got."""
        acknowledged = {client.path: client.acknowledged for client in played.crowd.clients}
        assert {path: played.answered[path] for path in acknowledged} == acknowledged
        assert all(bool(count) is (int(path[1:]) % 2 == 0) for path, count in acknowledged.items())

    def test_no_handshake_slips_in(self, played: Played) -> None:
        status = 503 if played.server.denial else 403
        assert f"server rejected WebSocket connection: HTTP {status}" in played.crowd.refused
        assert max(played.crowd.late, default=0) < played.crowd.first

    def test_the_process_ends_as_without_the_guard(self, played: Played) -> None:
        assert played.crowd.gone_at <= played.crowd.last + GONE
        assert played.crowd.status == played.status_without

    def test_the_log_is_clean(self, played: Played) -> None:
        own = (REFUSED, *played.server.own_errors)
        assert [error for error in exceptions(played.log) if not any(text in error for text in own)] == []
        assert "wsguard-D5" not in played.log


def on(*servers: Server) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("played", servers, indirect=True, scope="class", ids=lambda server: server.name)


def documented(like: str) -> list[Server]:
    """Return those servers as the docs start them."""
    return [_server(row["like"], row["shown"], row["command"]) for row in ROWS if row["like"].startswith(like)]


def other(like: str, *options: str) -> list[Server]:
    """Return the probe's servers, each with these options."""
    servers = [server for server in SERVERS if server.name.startswith(like)]
    return [
        _server(one.name, f"{one.name} {extra}", f"{one.command[3:]} {extra}") for one in servers for extra in options
    ]


def _server(like: str, name: str, command: str) -> Server:
    (server,) = (server for server in SERVERS if server.name == like)
    return replace(server, name=name, command=f"-m {command}")


# A class for each family of servers, so that they run side by side.


@on(
    *documented("uvicorn"),
    *other("uvicorn-w", ""),
    *other("uvicorn-sansio", "--loop asyncio", f"--reload --reload-dir {HERE}"),
)
class TestUvicorn(EveryServer):
    pass


@on(*documented("hypercorn"), *other("hypercorn-asyncio", "--workers 2"), *other("hypercorn-trio", "--workers 0"))
class TestHypercorn(EveryServer):
    pass


@on(*documented("anycorn"), *other("anycorn-asyncio", "--workers 0"), *other("hypercorn-asyncio", "--workers 0"))
class TestAnycorn(EveryServer):
    pass


@on(*documented("granian"), *other("granian", "--loop asyncio", "--workers 2"), *documented("daphne"))
class TestGranianAndDaphne(EveryServer):
    pass


@on(*documented("gunicorn"), *other("gunicorn-asgi", "--workers 2"), *other("gunicorn", "--workers 2 --preload"))
class TestGunicorn(EveryServer):
    pass


class TestOthers:
    def test_websockets_over_http2(self, tmp_path: Path) -> None:
        everyone = Barrier(11)
        steps = (Say("here"), Hear(), Until("everyone is there"))

        def come(number: int) -> Observation:
            path = f"/{number}"
            return visit(process.port, path, steps=steps, http=2, patience=20, watch=lambda _: everyone.wait(20))

        with (
            started(BY_NAME["hypercorn-http2"], "app", tmp_path) as process,
            ThreadPoolExecutor(10) as clients,
        ):
            seen = [clients.submit(come, number) for number in range(10)]
            everyone.wait(20)
            process.process.terminate()
            assert [one.result().code for one in seen] == [1012] * 10
            process.process.wait(10)

    def test_daphne_sends_a_code_that_it_knows(self, tmp_path: Path) -> None:
        with (
            started(BY_NAME["daphne"], "app", tmp_path, DRAIN_CODE="4012") as process,
            connect(f"ws://127.0.0.1:{process.port}/") as websocket,
        ):
            process.process.terminate()
            with pytest.raises(ConnectionClosed) as closed:
                websocket.recv(timeout=20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4012

    @pytest.mark.parametrize("name", ["uvicorn-sansio", "granian", "daphne", "gunicorn-uvicorn"])
    def test_a_second_signal_skips_the_wait(self, name: str, tmp_path: Path) -> None:
        with (
            started(BY_NAME[name], "app", tmp_path, DRAIN_GRACE="60") as process,
            connect(f"ws://127.0.0.1:{process.port}/"),
        ):
            process.process.terminate()
            assert get(process.port, "/draining", 20) == b"ok"
            # granian and gunicorn tell their worker of the first one only. Daphne is its own.
            workers = [int(file.name) for file in tmp_path.iterdir()] or [process.process.pid]
            os.kill(workers[0], signal.SIGTERM)
            process.process.wait(10)
