"""Nothing of the guard outlives a connection, on a real server either (E7)."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from asgi_wsguard.probe.client import visit
from asgi_wsguard.probe.judge import describe
from asgi_wsguard.probe.model import Hear, Leave, Say, Vanish
from asgi_wsguard.probe.servers import SERVERS, Running, get, running
from harness.forks import forked as forked

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import Step
    from asgi_wsguard.probe.servers import Server

# Seconds.
PATIENCE = 20.0
AT_ONCE = 50


class Client(NamedTuple):
    """What the clients of an app do, and what each of them gets, on a server that can deny and on one that cannot."""

    steps: tuple[Step, ...]
    gets: set[str]


CLIENTS = {
    "returns": Client((), {"500", "403"}),
    "echoes": Client((Say("hello"), Hear(), Leave()), {"close 1000"}),
    "waits_for_something_else": Client((Vanish(),), {"(it left)"}),
    "never_answers": Client((), {"503", "403"}),
}


def connect(served: Running, connections: int) -> None:
    """Have so many connections of each kind, some at once."""

    def one(name: str) -> str:
        client = CLIENTS[name]
        return describe(visit(served.port, f"/{name}", steps=client.steps, http=served.server.http, patience=PATIENCE))

    with ThreadPoolExecutor(AT_ONCE) as clients:
        for name, client in CLIENTS.items():
            assert set(clients.map(one, [name] * connections)) <= client.gets


def census(served: Running) -> Counter[str]:
    return Counter(json.loads(get(served.port, "/", PATIENCE)))


def is_exact(kind: str) -> bool:
    """Tell whether it is a task, or of the guard's, so that each one counts."""
    return kind.startswith("asgi_wsguard.") or kind.rpartition(".")[2] == "Task"


def left(served: Running, before: Counter[str], few: float) -> dict[str, int]:
    """Return what has become more, for good; of what is not the guard's, a few more do not count."""
    deadline = time.monotonic() + PATIENCE
    while True:
        growth = census(served) - before
        found = {kind: more for kind, more in growth.items() if is_exact(kind) or more >= few}
        if not found or time.monotonic() > deadline:
            return found
        time.sleep(0.1)


def leak(server: Server, connections: int) -> dict[str, int]:
    env = {"PYTHONPATH": str(Path(__file__).parent)}
    with running(server, app="leaks_app:app", env=env) as served:
        at_first = census(served)
        connect(served, 20)
        left(served, at_first, math.inf)
        before = census(served)  # with what is kept for good, such as caches
        connect(served, connections)
        return left(served, before, connections)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_200_connections_of_each_kind(server: Server) -> None:
    assert leak(server, 200) == {}


def test_2000_connections_of_each_kind() -> None:
    assert leak(SERVERS[0], 2_000) == {}
