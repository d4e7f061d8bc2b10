"""Servers side by side, new ones after harm, and what is shown of it all."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from asgi_wsguard.probe import run as module
from asgi_wsguard.probe import servers
from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.judge import Result
from asgi_wsguard.probe.model import Closed, Scenario
from asgi_wsguard.probe.results import Cell, Pair, Results, ServerResults, from_json, to_json
from asgi_wsguard.probe.run import Series, run
from asgi_wsguard.probe.servers import Running, Server
from asgi_wsguard.probe.table import details, grouped, summary

LEFT = {"running": False, "tasks": []}


async def nothing(scope: Any, receive: Any, send: Any) -> None: ...


def scenario(name: str) -> Scenario:
    return Scenario(name, "H1", f"is {name}", nothing, Closed(1000))


GOOD, STAYS, HANGS, DIES = SCENARIOS = [scenario(name) for name in ("good", "staying", "hanging", "dying")]
SEEN = {
    "good": (Observation(opened=True, code=1000), LEFT),
    "staying": (Observation(opened=True, code=1000), {"running": True, "tasks": ["app"]}),
    "hanging": (Observation(hung=True, seconds=1.5), LEFT),
    "dying": (Observation(), {}),
}


class Started:
    """Servers that sleep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ran: list[list[tuple[str, bool, float]]] = []
        self.options: list[Any] = []
        monkeypatch.setattr(module, "running", self.running)
        monkeypatch.setattr(module, "run_scenario", self.run_scenario)

    @contextlib.contextmanager
    def running(self, server: Server, **options: Any) -> Iterator[Running]:
        if server.name == "broken":
            raise RuntimeError("broken did not start:\nTraceback\nOSError: no more ports")
        self.options.append(options)
        self.ran.append([])
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
        try:
            yield Running(server, 1, process, Path())
        finally:
            servers.stop(process, patience=0.0)

    def run_scenario(self, running: Running, what: Scenario, *, guarded: bool, patience: float) -> Result:
        assert running.process.poll() is None
        self.ran[-1].append((what.name, guarded, patience))
        seen, left = SEEN[what.name]
        return Result(what, seen, left, "", [] if what is GOOD else ["a fault"])


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    return Started(monkeypatch)


@pytest.mark.parametrize("harm", [STAYS, HANGS, DIES])
def test_a_server_that_was_harmed_is_replaced(started: Started, harm: Scenario) -> None:
    done: list[int] = []
    series = Series(Server("one", ""), [GOOD, harm, GOOD, GOOD], guarded=False, done=lambda: done.append(1), python="p")
    cells = series.run()
    names = [[name for name, _, _ in one] for one in started.ran]
    assert names == [["good", harm.name], ["good", "good"]]
    assert [*cells] == ["good", harm.name]
    assert len(done) == 4
    assert started.options == [{"patience": 0.0, "python": "p"}] * 2


def test_with_the_guard_there_is_more_patience(started: Started) -> None:
    Series(Server("one", ""), [GOOD], guarded=True).run()
    Series(Server("one", ""), [GOOD], guarded=False).run()
    assert started.ran == [[("good", True, 5.0)], [("good", False, 1.5)]]


def test_run(started: Started) -> None:
    done: list[int] = []
    results, failed = run(
        [Server("one", "", {"rich": "rich"}), Server("broken", ""), Server("two", "")],
        SCENARIOS,
        lambda: done.append(1),
    )
    assert failed == {"broken": "broken did not start: OSError: no more ports"}
    assert [*results.servers] == ["one", "two"]
    assert [*results.servers["one"].versions] == ["rich"]
    assert [*results.servers["two"].results] == ["good", "staying", "hanging", "dying"]
    assert results.servers["two"].results["staying"].bare == Cell("close 1000", 0.0, "app", ("a fault",))
    assert len(done) == 2 * 2 * 4


def test_interrupted(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    """The servers are stopped at once, which ends what runs on them. What waits for its turn does not begin."""
    all_run, ran = threading.Barrier(2), []

    def run_scenario(running: Running, what: Scenario, *, guarded: bool, patience: float) -> Result:
        ran.append(what)
        if all_run.wait(30) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        running.process.wait(30)
        return Result(what, Observation(), LEFT, "", [])

    monkeypatch.setattr(module, "AT_ONCE", 2)
    monkeypatch.setattr(module, "run_scenario", run_scenario)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            run([Server("one", ""), Server("two", "")], [GOOD, GOOD], lambda: None)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(ran) == 2


def test_a_series_that_was_stopped_runs_nothing(started: Started) -> None:
    series = Series(Server("one", ""), [GOOD], guarded=True)
    series.stop()
    assert series.run() == {}


def test_a_real_server() -> None:
    with servers.running(Server("http", "-m http.server -b 127.0.0.1 {port}")) as running:
        assert servers.answers(running.port)
        assert "GET / HTTP" in running.log()
    assert not servers.answers(running.port)


def test_no_port_is_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    given, free = servers.free_port(), servers.free_port()
    monkeypatch.setattr(servers, "_given", {given})
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([given, taken.getsockname()[1], free])
        monkeypatch.setattr(servers.random, "choice", lambda ports_there_are: next(ports))
        assert servers.free_port() == free


def test_what_a_server_needs() -> None:
    server = Server("one", "", {"rich": "rich", "no_such_module": "no-such-package"})
    assert server.missing() == ["no-such-package"]
    assert Server("one", "", {"rich": "rich"}).versions().keys() == {"rich"}


# What is shown


def pair(bare: str, guarded: str, *faults: str, left: str = "", seconds: float = 0.0) -> Pair:
    return Pair(Cell(bare, seconds, left, faults), Cell(guarded, 0.01, ""))


def results(**pairs: Pair) -> Results:
    """Return the results of "good" on servers, with `_` for `-` in their names."""
    return Results({name.replace("_", "-"): ServerResults({"it": "1.0"}, {"good": one}) for name, one in pairs.items()})


def shown(what: Results, **options: Any) -> list[tuple[str, str, str]]:
    return [(row.bare, row.guarded, row.servers) for row in grouped(what, SCENARIOS, **options)]


SAME = pair("500", "500")


def test_json() -> None:
    written = results(one=pair("500", "403", "a", "b", left="app"), two=SAME)
    text = to_json(written)
    assert from_json(text) == written
    assert text.count('"bare"') == sum('"bare"' in line for line in text.splitlines())


@pytest.mark.parametrize(
    ("names", "servers_"),
    [
        (["a_1", "a_2", "b_1", "b_2", "c"], "all"),
        (["a_1", "a_2"], "a-*"),
        (["a_2", "c"], "a-2, c"),
        (["a_1", "a_2", "b_2", "c"], "a-*, b-2, c"),
    ],
)
def test_servers_that_are_alike_share_a_row(names: list[str], servers_: str) -> None:
    everywhere = dict.fromkeys(["a_1", "a_2", "b_1", "b_2", "c"], pair("403", "500", "x"))
    rows = shown(results(**{**everywhere, **dict.fromkeys(names, SAME)}))
    assert ("500", "500", servers_) in rows


def test_a_row_says_what_is_wrong() -> None:
    assert shown(results(one=pair("nothing", "500", "x", left="app", seconds=1.5))) == [
        ("✗ nothing (1.5 s); left: app", "500", "one")
    ]
    looks_the_same = pair("500", "500", "the app saw ['x'], not ['y']", "more")
    assert shown(results(one=looks_the_same)) == [("✗ 500; the app saw ['x']", "500", "one")]


def test_a_row_tells_the_longest_wait() -> None:
    late, later, at_once = (pair("500", "403", seconds=seconds) for seconds in (0.6, 0.9, 0.1))
    assert shown(results(one=late, two=later)) == [("500 (0.9 s)", "403", "all")]
    assert len(shown(results(one=late, two=at_once))) == 2


def test_rows_that_differ_in_what_the_guard_makes_of_them() -> None:
    two = results(one=pair("500", "500", "x"), two=pair("500", "403", "x"))
    assert len(shown(two)) == 2


def test_only_differences() -> None:
    two = results(one=SAME, two=pair("500", "403"))
    assert shown(two, only_differences=True) == [("500", "403", "two")]


def test_details() -> None:
    two = results(one=SAME, two=pair("500", "403"))
    assert [[*row] for row in details(two, SCENARIOS).rows] == [
        ["H1", "is good", "500", "500", "one"],
        ["", "", "500", "403", "two"],
    ]
    assert [*details(results(one=SAME), SCENARIOS).head] == ["", "an app that …", "without", "guarded"]


def test_colours() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard", width=100, _environ={})
    console.print(summary(results(one=pair("500", "403", "x"))).rich())
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[31m✗ 0 of 1\x1b[0m" in output
    assert "\x1b[32m1 of 1 " in output


def test_a_server_that_takes_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([False, False, True])
    monkeypatch.setattr(servers, "answers", lambda *args, **more: next(answers))
    with servers.running(Server("http", "-m http.server -b 127.0.0.1 {port}")):
        assert next(answers, None) is None
