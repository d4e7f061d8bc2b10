"""A server's process that ends without its graceful shutdown, with websockets open."""

from __future__ import annotations

import contextlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from asgi_wsguard.probe.servers import SERVERS, Server, get, running
from harness.forks import forked as forked

BY_NAME = {server.name: server for server in SERVERS}
PATIENCE = 20.0
TOLD = ("Traceback", "Exception ignored", "was destroyed", "never awaited", "never retrieved", "[wsguard")


class Ended(NamedTuple):
    status: int
    told: Counter[str]
    codes: list[int]


def ended(server: Server, app: str, path: str) -> Ended:
    """Return how it ended, how often its log has each of these, and what the clients got."""
    with running(server, app=f"ends_app:{app}", env={"PYTHONPATH": str(Path(__file__).parent)}) as served:
        uri = f"ws://127.0.0.1:{served.port}"
        with connect(f"{uri}/receives") as receives, connect(f"{uri}/waits") as waits:
            with contextlib.suppress(OSError):  # the end may be quicker than the answer
                get(served.port, path, PATIENCE)
            codes = [code(receives), code(waits)]
        status = served.process.wait(PATIENCE)
        log = served.log()
    return Ended(status, Counter({text: log.count(text) for text in TOLD}), codes)


def code(client: ClientConnection) -> int:
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=PATIENCE)
    return closed.value.rcvd.code if closed.value.rcvd else 1006


@pytest.mark.parametrize(
    ("name", "path"),
    [
        *((name, path) for name in ("uvicorn-sansio", "uvicorn-wsproto") for path in ("/stop", "/exit", "/interrupt")),
        ("uvicorn-websockets", "/interrupt"),
        ("hypercorn-asyncio", "/stop"),
        ("hypercorn-asyncio", "/interrupt"),
        ("hypercorn-trio", "/trio-interrupt"),
    ],
)
def test_it_says_no_more_than_without_the_guard(name: str, path: str) -> None:
    with ThreadPoolExecutor(2) as both:
        bare, guarded = both.map(lambda app: ended(BY_NAME[name], app, path), ["bare", "guarded"])
    assert guarded.status == bare.status
    assert guarded.told - bare.told == Counter()
    assert guarded.codes == [1012, 1012]
