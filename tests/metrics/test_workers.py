"""A real scrape of real servers with two workers: the figures are those of both, also when one is killed."""

from __future__ import annotations

import os
import re
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import connect

from asgi_wsguard.probe.client import visit
from asgi_wsguard.probe.judge import describe
from asgi_wsguard.probe.model import Hear, Leave, Say
from asgi_wsguard.probe.servers import Running, Server, get, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from websockets.sync.client import ClientConnection

# Seconds.
PATIENCE = 20.0
HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "metrics.md"

SERVERS = (
    Server("uvicorn", "-m uvicorn --workers 2 --port {port} {app}"),
    Server(
        "gunicorn-uvicorn",
        "-m gunicorn --no-control-socket -w 2 -k uvicorn_worker.UvicornWorker -b 127.0.0.1:{port} {app}",
    ),
    Server(
        "gunicorn-asgi",
        "-m gunicorn --no-control-socket -w 2 -k asgi -b 127.0.0.1:{port} {app}",
        denial=False,
        crash=True,
    ),
)

# What a client does on a path, and what it gets.
ROOM = "/rooms/7"
VISITS = (
    (ROOM, (Hear(), Leave(1001)), "close 1001"),
    (ROOM, (Hear(), Say("bye")), "close 4000"),
    (ROOM, (Hear(), Say("crash")), "close 1011"),
    (ROOM, (Hear(), Say("what")), "close 1011"),
    ("/denies", (), "401"),
    ("/crashes", (), "500"),
    ("/returns", (), "500"),
    ("/sleeps", (), "503"),
)
EACH = 8


def block(function: str) -> str:
    """Return the code block of the docs that defines this."""
    (found,) = (code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if function in code)
    return str(found)


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.name)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """Run the server, as the docs say; with it goes the folder of its workers' files."""
    folder = tmp_path_factory.mktemp("server")
    files = folder / "files"
    files.mkdir()
    (folder / "scrape.py").write_text(block("def metrics(") + block("def forget_dead_workers("))
    config = folder / "gunicorn.conf.py"
    config.write_text(block("def child_exit("))
    env = {
        "PYTHONPATH": f"{HERE}:{folder}",
        "PROMETHEUS_MULTIPROC_DIR": str(files),
        "GUNICORN_CMD_ARGS": f"--config {config}",
    }
    with running(request.param, app="workers_app:app", env=env) as process:
        yield process, files


Figures = Counter[tuple[str, ...]]


def scrape(served: Running) -> Figures:
    """Return the sums, by name and the labels that have a value; of a histogram only the count."""
    text = get(served.port, "/metrics", PATIENCE).decode()
    return Counter(
        {
            (sample.name, *sorted(f"{name}={value}" for name, value in sample.labels.items() if value)): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.value and sample.name.endswith(("_total", "_count", "_open_connections"))
        }
    )


def until(served: Running, holds: Callable[[Figures], bool]) -> Figures:
    """Scrape until it holds, or for as long as the patience lasts; return the figures."""
    deadline = time.monotonic() + PATIENCE
    while not holds(figures := scrape(served)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return figures


OPEN = ("wsguard_open_connections", "http_route=/rooms/{room}")


def open_on_both(served: Running, stack: ExitStack) -> dict[int, list[ClientConnection]]:
    """Open websockets until both workers have some; return them by the worker."""
    by_worker: dict[int, list[ClientConnection]] = {}
    while len(by_worker) < 2 and sum(map(len, by_worker.values())) < 500:
        websocket = stack.enter_context(connect(f"ws://127.0.0.1:{served.port}{ROOM}"))
        by_worker.setdefault(int(websocket.recv(PATIENCE)), []).append(websocket)
    assert len(by_worker) == 2
    return by_worker


def test_figures_are_those_of_both_workers(served: tuple[Running, Path]) -> None:
    server, _ = served
    denial, crash = server.server.denial, server.server.crash
    before = scrape(server)

    def one(path: str, steps: tuple, gets: str) -> None:
        outcome = describe(visit(server.port, path, steps=steps, patience=PATIENCE))
        left_to_server = crash and path == "/crashes"
        assert outcome == (gets if denial or left_to_server or not gets.isdigit() else "403")

    with ThreadPoolExecutor(EACH) as clients:
        list(clients.map(one, *zip(*VISITS * EACH)))

    def handshake(path: str, outcome: str, status: str, *more: str) -> tuple[str, ...]:
        labels = (f"http_route={path}", f"wsguard_outcome={outcome}", "network_protocol_version=1.1", *more)
        if status:
            labels += (f"http_response_status_code={status if denial else 403}",)
        return ("wsguard_handshakes_total", *sorted(labels))

    def closes(outcome: str, code: int, by: str) -> tuple[str, ...]:
        labels = (f"wsguard_close_code={code}", f"wsguard_closed_by={by}", f"wsguard_outcome={outcome}")
        return ("wsguard_closes_total", "http_route=/rooms/{room}", *labels)

    def took(path: str, outcome: str) -> tuple[str, ...]:
        return ("wsguard_handshake_duration_seconds_count", f"http_route={path}", f"wsguard_outcome={outcome}")

    denied = "denied" if denial else "denied_without_extension"
    error = ("error_type=LookupError", "wsguard_error=LookupError: no user #")
    expected = {
        handshake("/rooms/{room}", "accepted", ""): 4 * EACH,
        handshake("/denies", denied, "401"): EACH,
        handshake("/crashes", "raised_unanswered", "" if crash else "500", *error): EACH,
        handshake("/returns", "returned_unanswered", "500", "error_type=returned_unanswered"): EACH,
        handshake("/sleeps", "handshake_timeout", "503", "error_type=handshake_timeout"): EACH,
        took("/rooms/{room}", "accepted"): 4 * EACH,
        took("/denies", denied): EACH,
        **({} if crash else {took("/crashes", "raised_unanswered"): EACH}),
        took("/returns", "returned_unanswered"): EACH,
        took("/sleeps", "handshake_timeout"): EACH,
        closes("left", 1001, "client"): EACH,
        closes("closed", 4000, "app"): EACH,
        closes("raised", 1011, "guard"): 2 * EACH,
        ("wsguard_connection_duration_seconds_count", "http_route=/rooms/{room}"): 4 * EACH,
        ("wsguard_violations_total", "http_route=/rooms/{room}", "wsguard_clause=O9"): EACH,
    }
    figures = until(server, lambda figures: figures - before == expected)
    assert figures - before == expected


def test_open_connections_go_up_and_back_to_0(served: tuple[Running, Path]) -> None:
    server, _ = served
    with ExitStack() as stack:
        opened = sum(map(len, open_on_both(server, stack).values()))
        assert scrape(server)[OPEN] == opened
    assert until(server, lambda figures: not figures[OPEN])[OPEN] == 0


def test_a_worker_that_is_killed_takes_its_connections_with_it(served: tuple[Running, Path]) -> None:
    server, files = served
    with ExitStack() as stack:
        by_worker = open_on_both(server, stack)
        killed, survivor = by_worker
        handshakes = sum(value for (name, *_), value in scrape(server).items() if name == "wsguard_handshakes_total")
        os.kill(killed, signal.SIGKILL)
        if server.server.name.startswith("gunicorn"):  # child_exit comes without a scrape
            deadline = time.monotonic() + PATIENCE
            while list(files.glob(f"gauge_live*_{killed}.db")) and time.monotonic() < deadline:
                time.sleep(0.05)
            assert list(files.glob(f"gauge_live*_{killed}.db")) == []
        left = len(by_worker[survivor])
        figures = until(server, lambda figures: figures[OPEN] == left)
        assert figures[OPEN] == left
        assert sum(value for (name, *_), value in figures.items() if name == "wsguard_handshakes_total") == handshakes
    assert until(server, lambda figures: not figures[OPEN])[OPEN] == 0
