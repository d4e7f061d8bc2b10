"""The run of `compare`, and what the command shows of it."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.routing import WebSocketRoute

from asgi_wsguard.check.visits import Question
from asgi_wsguard.cli import compare as command
from asgi_wsguard.cli.commands import commands
from asgi_wsguard.compare import clients, run
from asgi_wsguard.compare.clients import Script, plain
from asgi_wsguard.compare.compared import ADDED, BARE, CONTROL
from asgi_wsguard.compare.happened import Difference
from asgi_wsguard.compare.run import Comparison
from asgi_wsguard.compare.verdict import Finding
from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.servers import SERVERS, Running, Server

FOLDER = Path(__file__).parent
CLIENT = plain(Question("/ws?secret=1", messages=("hi",)))
SERVER = Running(SERVERS[0], 1, None, None)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _every_server_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Server, "missing", lambda server: [])


@pytest.mark.parametrize(
    ("told", "timeout", "left"),
    [
        ([["connection"], ["connection"], []], 60.0, []),
        ([["connection"]], 0.0, ["connection"]),
        ([["connection"], OSError()], 60.0, ["the server does not answer"]),
    ],
)
def test_what_is_left(told: list[Any], timeout: float, left: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def get(port: int, path: str, patience: float) -> bytes:
        if not path.startswith(f"{CONTROL}left"):
            return b"true"
        answer = told.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return json.dumps({"left": answer, "guarded": True}).encode()

    monkeypatch.setattr(run, "get", get)
    monkeypatch.setattr(clients, "visited", lambda *where, **how: Observation(opened=True, code=1000))
    one = run.Side(SERVER, Path("nowhere"), timeout)
    one.visit_all([CLIENT])
    happened = one.happened[CLIENT]
    assert (happened.client, happened.left, happened.logs, told) == ({"": ["end 1000 ''"]}, left, [], [])
    assert one.guarded


def test_a_server_that_has_died(monkeypatch: pytest.MonkeyPatch) -> None:
    one = run.Side(SERVER, Path("nowhere"), 1.0)  # there is nothing at that port
    one.visit_all([CLIENT])
    assert (one.got(CLIENT), one.happened[CLIENT].left) == ([clients.DEAD], [clients.DEAD])


@pytest.mark.parametrize(
    ("bare", "guarded", "found"),
    [
        ("end 1006 ''", [["end 1000 ''"]], [("client", True)]),
        ("end 1000 ''", [["end 4000 ''"], ["end 1000 ''"]], []),
        ("end 1000 ''", [["end 4000 ''", "x"], ["end 4001 ''"]], [("client", False)]),
    ],
)
def test_what_is_no_improvement_must_happen_twice(
    bare: str, guarded: list[list[str]], found: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def side(server: Any, app: Any, which: str) -> Any:
        sides.append(which)
        got = [bare] if which == BARE else guarded.pop(0)
        one = run.Side(SERVER, Path("nowhere"), 0.0)
        monkeypatch.setattr(clients, "visited", lambda *where, **how: None)
        monkeypatch.setattr(clients, "told", lambda seen: got)
        yield one
        one.reports[CLIENT] = ["O1"]

    sides: list[str] = []
    monkeypatch.setattr(run, "side", side)
    monkeypatch.setattr(run, "get", lambda *asked: b'{"left": [], "guarded": false}')
    comparison = run.compare(SERVERS[0], run.UsersApp("a:b", False, 1.0), [], [CLIENT])
    assert [(finding.difference.part, finding.better) for finding in comparison.findings] == found
    assert guarded == []
    assert sides == [BARE, BARE, *[ADDED] * (len(sides) - 2)]


def shows(comparison: Comparison, monkeypatch: pytest.MonkeyPatch, *more: str) -> tuple[int, list[str], list[Any]]:
    asked: list[Any] = []

    def compared(*arguments: Any) -> Comparison:
        asked.append(arguments)
        return comparison

    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(command, "compared", compared)
    result = CliRunner().invoke(commands, ["compare", "check_apps:echo", "--server", "uvicorn-sansio", *more])
    return result.exit_code, result.output.splitlines(), asked


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = Difference("client", ["end 1006 ''"], ["'a'", "end 1000 ''"])
    left = Difference("left", [], [f"task at {FOLDER}/app.py"])
    took = Difference("took", 3.0, 0.1)
    found = [Finding(CLIENT, ends, ("O1", "O9"), True), Finding(CLIENT, took, ("O1",), True)]
    comparison = Comparison(5, denied=False, findings=found)
    status, lines, asked = shows(comparison, monkeypatch, "--path", "/ws", "--send", "hi")
    assert (status, lines) == (
        0,
        [
            "[O1, O9] /ws on uvicorn-sansio, a client that closes: what the client got (an improvement)",
            "  bare     end 1006 ''",
            "  guarded  'a'",
            "           end 1000 ''",
            "[O1] /ws on uvicorn-sansio, a client that closes: seconds until the client was done (an improvement)",
            "  bare     3.0",
            "  guarded  0.1",
            "2 improvements in 5 visits on uvicorn-sansio",
        ],
    )
    ((server, app, questions, scripts),) = asked
    assert (server.name, app) == ("uvicorn-sansio", run.UsersApp("check_apps:echo", False, 65.0))
    assert (questions, scripts) == ([Question("/ws", messages=("hi",), timeout=65.0)], [])

    comparison.findings.append(Finding(CLIENT, left, (), False))
    comparison.own = comparison.denied = True
    status, lines, _ = shows(comparison, monkeypatch)
    assert (status, lines[-4:]) == (
        1,
        [
            "/ws on uvicorn-sansio, a client that closes: what was left behind",
            "  bare     nothing",
            "  guarded  task at app.py",
            "2 improvements and 1 other difference in 5 visits on uvicorn-sansio; no websocket was open: are --path,"
            " --header and --subprotocol right?; the bare side bypassed the guard in the"
            " app's stack, and the guarded side used it",
        ],
    )


def test_the_command_with_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(__file__)
    status, lines, asked = shows(Comparison(1, denied=False), monkeypatch, "--client", str(file))
    assert (status, lines) == (0, ["no difference in 1 visit on uvicorn-sansio"])
    ((_, _, questions, scripts),) = asked
    assert (questions, scripts) == ([], [Script(file)])


def test_each_route_is_visited(monkeypatch: pytest.MonkeyPatch) -> None:
    routes = SimpleNamespace(routes=[WebSocketRoute(f"/{path}", str) for path in ("a", "{b}")])
    monkeypatch.setattr(command, "load", lambda target, factory: routes)
    status, lines, asked = shows(Comparison(1), monkeypatch)
    assert (status, lines[0]) == (0, "/{b} was not visited: give --param b=…")
    ((_, _, questions, _),) = asked
    assert questions == [Question("/a", timeout=65.0)]
    _, _, ((_, _, questions, _),) = shows(Comparison(1), monkeypatch, "--param", "b=1")
    assert [question.path for question in questions] == ["/a", "/1"]


def test_the_first_server_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    first = type(SERVERS[0]).missing
    monkeypatch.setattr(type(SERVERS[0]), "missing", lambda server: ["it"] if server.name < "h" else first(server))
    names = []
    monkeypatch.setattr(command, "compared", lambda server, *rest: names.append(server.name) or Comparison())
    monkeypatch.chdir(FOLDER)
    CliRunner().invoke(commands, ["compare", "check_apps:echo"])
    assert names == ["uvicorn-sansio"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check_apps:nothing"], "check_apps has no 'nothing'"),
        (["check_apps:echo", "--client", "nowhere.py"], "'nowhere.py' does not exist"),
        (["check_apps:echo", "--server", "nothing"], "no server 'nothing'"),
        (["check_apps:echo", "--timeout", "0"], "0 is not a number of seconds to wait"),
    ],
)
def test_wrong_input(arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", [*sys.path])
    result = CliRunner().invoke(commands, ["compare", *arguments])
    assert result.exit_code == 2
    assert said in result.output


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def compared(*arguments: Any) -> Comparison:
        raise RuntimeError("daphne did not start:\n  | its log\n  | KeyError: 'x'\n  +-----\n")

    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(command, "compared", compared)
    result = CliRunner().invoke(commands, ["compare", "check_apps:echo", "--server", "uvicorn-sansio"])
    assert result.exit_code == 2
    assert result.output == "asgi-wsguard compare: uvicorn-sansio did not start: KeyError: 'x'\n"
