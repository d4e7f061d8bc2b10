"""How the probe judges what it saw."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_wsguard.probe import judge, servers
from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.model import Closed, Cut, Denied, Gone, Leave, OneOf, Refused, Scenario
from asgi_wsguard.probe.results import cell
from asgi_wsguard.probe.scenarios import SECRET
from asgi_wsguard.probe.servers import Running, Server
from asgi_wsguard.probe.tls import over_tls

LEFT = {
    "called": True,
    "running": False,
    "seconds": 0.0,
    "tasks": [],
    "notes": [],
    "log": [],
    "reports": ["closed"],
    "extension": True,
    "drops": False,
}
PROCESS: Any = None
TRACEBACK = "  | Traceback (most recent call last):\n  |   File somewhere\n  | {}\n"


async def nothing(scope: Any, receive: Any, send: Any) -> None: ...


def scenario(client_gets: Any, **more: Any) -> Scenario:
    return Scenario("name", "H1", "title", nothing, client_gets, **more)


class Judged:
    """A server that is not there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self._monkeypatch = monkeypatch
        self._logfile = tmp_path / "log"
        self._logfile.touch()

    def __call__(
        self,
        what: Scenario,
        seen: Observation,
        log: str = "",
        server: Server | None = None,
        guard_log: Any = (),
        guarded: bool = True,
        **left: Any,
    ) -> judge.Result:
        def visit(*args: Any, watch: Any, **options: Any) -> Observation:
            watch("note")
            self._logfile.write_text(self._logfile.read_text() + log)
            return seen

        self._monkeypatch.setattr(judge, "visit", visit)
        self._monkeypatch.setattr(judge, "get", lambda *args: json.dumps({**LEFT, "log": guard_log, **left}).encode())
        running = Running(server or Server("server", ""), 1, PROCESS, self._logfile)
        return judge.run_scenario(running, what, guarded=guarded, patience=0.05)


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Judged:
    return Judged(monkeypatch, tmp_path)


DENIED = Observation(status=401, headers=[("a", "b")], body=b"no")
CLOSED = Observation(status=101, opened=True, code=1000)


@pytest.mark.parametrize(
    ("client_gets", "seen"),
    [
        (Denied(401, b"no", (("a", "b"),)), DENIED),
        (Denied(401, None), DENIED),
        (Cut(401), Observation(status=401, cut=True)),
        (Cut(401), Observation(cut=True)),
        (Refused("two lengths"), Observation(fault="two lengths")),
        (Gone(), Observation(status=101, opened=True, left=True)),
        (Closed(1000), CLOSED),
        (Closed(1000, messages=None), Observation(opened=True, code=1000, messages=["hello"])),
        (OneOf((Denied(401), Closed(1000))), CLOSED),
    ],
)
def test_contract_holds(judged: Judged, client_gets: Any, seen: Observation) -> None:
    assert judged(scenario(client_gets), seen).faults == []


@pytest.mark.parametrize(
    ("client_gets", "seen", "fault"),
    [
        (Denied(401, b"no"), Observation(status=500, body=b"no"), "got 500, not 401"),
        (Denied(401), Observation(status=401, cut=True), "got 401, cut, not 401"),
        (Denied(401), Observation(status=401, fault="two lengths"), "the client refuses it: two lengths"),
        (Denied(401), Observation(hung=True, seconds=2), "waited for 2.0 s"),
        (Denied(401), Observation(), "got no response, not 401"),
        (Denied(401), Observation(opened=True, hung=True), "got 101, then nothing, not 401"),
        (Denied(401), DENIED, "the body is b'no', not b''"),
        (Denied(401, b"no", (("c", "d"),)), DENIED, "header ('c', 'd') is missing"),
        (Denied(401, SECRET.encode()), Observation(status=401, body=SECRET.encode()), "text of the exception"),
        (Cut(401), DENIED, "got 401, not 401, cut"),
        (Refused("two lengths"), DENIED, "did not refuse it for two lengths"),
        (Denied(401), Observation(left=True), "got (it left), not 401"),
        (OneOf((Denied(401), Closed(1001))), CLOSED, "got close 1000, none of"),
        (Closed(1011), CLOSED, "got close 1000 '', not 1011 ''"),
        (Closed(1000, messages=("hello",)), CLOSED, "messages are []"),
        (Closed(1000), Observation(opened=True, code=1000, subprotocol="chat"), "subprotocol is 'chat'"),
    ],
)
def test_what_the_client_got(judged: Judged, client_gets: Any, seen: Observation, fault: str) -> None:
    assert fault in "; ".join(judged(scenario(client_gets), seen).faults)


@pytest.mark.parametrize(
    ("left", "fault"),
    [
        ({"running": True}, "the app still runs"),
        ({"tasks": ["one", "two"]}, "tasks are left: one, two"),
        ({"extension": False}, "denial extension"),
        ({"drops": True}, "sent after the end"),
        ({"notes": ["sent"]}, "the app saw ['sent']"),
        ({"guard_log": [["ERROR", "[wsguard-H1] '/'"]]}, "not nothing"),
        ({"guard_log": [["DEBUG", "[wsguard-O4] '/'"]] * 2}, "more than one log line"),
        ({"reports": []}, "not one report, but []"),
        ({"reports": ["closed", "left"]}, "not one report"),
    ],
)
def test_what_is_left(judged: Judged, left: dict[str, Any], fault: str) -> None:
    assert fault in "; ".join(judged(scenario(Closed(1000)), CLOSED, **left).faults)


def test_what_comes_too_early(judged: Judged) -> None:
    timed = scenario(Closed(1000), client_waits=0.3, app_stays=0.2)
    late = Observation(opened=True, code=1000, seconds=0.3)
    assert judged(timed, late, seconds=0.2).faults == []
    assert "done after 0.00 s, before 0.3" in judged(timed, CLOSED, seconds=0.2).faults[0]
    assert "ended after 0.10 s, before 0.2" in judged(timed, late, seconds=0.1).faults[0]


def test_what_depends(judged: Judged) -> None:
    """It is not judged what a race brings."""
    race = scenario(Gone(), app_sees=None, logs=None, raises=None)
    raised = TRACEBACK.format("package.ProbeError: text")
    faults = judged(
        race, Observation(left=True), raised, guard_log=[["ERROR", "[wsguard-H4] '/'"]], notes=["sent"]
    ).faults
    assert faults == []


def test_an_app_that_was_not_called(judged: Judged) -> None:
    assert judged(scenario(Gone()), Observation(left=True), called=False, extension=False).faults == []


def test_company(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[str] = []

    @contextlib.contextmanager
    def staying(port: int, path: str, **options: Any) -> Iterator[None]:
        came.append(path)
        yield
        came.append("left")

    monkeypatch.setattr(judge, "staying", staying)
    assert judged(scenario(Closed(1000), company=True), CLOSED).faults == []
    assert came[0].startswith("/guarded/name/")
    assert came[1:] == ["left"]


def test_log_is_not_judged_without_the_guard(judged: Judged) -> None:
    assert judged(scenario(Closed(1000), logs="ERROR O2", raises="ProbeError"), CLOSED, guarded=False).faults == []


@pytest.mark.parametrize(
    ("logs", "lines", "holds"),
    [
        ("DEBUG O1", [["DEBUG", "[wsguard-O1] '/'"]], True),
        ("ERROR O2", [["ERROR", "[wsguard-O2] '/'"]], True),
        ("ERROR O2", [["DEBUG", "[wsguard-O1] '/'"]], False),
        ("", [["DEBUG", "[wsguard-O1] '/'"]], True),
        ("", [["ERROR", "[wsguard-O2] '/'"]], False),
    ],
)
def test_log_of_the_guard(judged: Judged, logs: str, lines: list[list[str]], holds: bool) -> None:
    faults = judged(scenario(Closed(1000), logs=logs), CLOSED, guard_log=lines).faults
    assert (faults == []) is holds


def test_log_of_the_server(judged: Judged) -> None:
    raised = TRACEBACK.format("package.ProbeError: text")
    assert judged(scenario(Closed(1000), raises="ProbeError"), CLOSED, raised).faults == []
    assert judged(scenario(Closed(1000), raises="ProbeError"), CLOSED).faults == [
        "ProbeError is not in the server's log"
    ]
    assert "ProbeError: text" in judged(scenario(Closed(1000)), CLOSED, raised).faults[0]
    assert judged(scenario(Closed(1000)), CLOSED, raised, Server("server", "", own_errors=("ProbeError",))).faults == []


@pytest.mark.parametrize(("clause", "holds"), [("H1", True), ("H6", False)])
def test_without_the_guard_the_text_is_the_servers(judged: Judged, clause: str, holds: bool) -> None:
    """But not where the app itself says what the response is."""
    denies = Scenario("name", clause, "title", nothing, Denied(401, b"the guard's"))
    assert (judged(denies, DENIED, guarded=False).faults == []) is holds


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({}, ""),
        ({"running": True, "tasks": ["app"]}, "app"),
        ({"tasks": ["one"]}, "1 task"),
        ({"tasks": ["one", "two"]}, "2 tasks"),
    ],
)
def test_what_is_told(judged: Judged, left: dict[str, Any], said: str) -> None:
    told = cell(judged(scenario(Closed(1000)), Observation(opened=True, code=1000, seconds=1.234), **left))
    assert (told.client, told.seconds, told.left) == ("close 1000", 1.23, said)


def test_an_illegal_answer() -> None:
    assert judge.describe(Observation(status=500, fault="two lengths")) == "an illegal answer"


def test_server_does_not_answer_any_more(judged: Judged, monkeypatch: pytest.MonkeyPatch) -> None:
    result = judged(scenario(Closed(1000)), CLOSED)

    def get(*args: Any) -> bytes:
        raise ConnectionRefusedError

    monkeypatch.setattr(judge, "get", get)
    gone = judge.run_scenario(Running(Server("server", ""), 1, PROCESS, Path(__file__)), result.scenario)
    assert "no longer answers" in gone.faults[0]
    assert cell(gone).left == "dead"


def test_an_app_that_is_never_told(judged: Judged) -> None:
    stays = scenario(Gone(), outlives=True, logs="WARNING O12", raises="Error")
    assert judged(stays, Observation(left=True), running=True, reports=[], tasks=["app"]).faults == []
    assert judged(stays, Observation(hung=True), running=True).faults != []


def test_what_a_server_cannot_do() -> None:
    plain = Server("server", "", denial=False, close_reason=False, instead={"name": {"raises": "Other"}})
    assert plain.expects(scenario(Denied(401, b"no"))).client_gets == Denied(403, None)
    assert plain.expects(scenario(Closed(4000, "reason"))).client_gets == Closed(4000)
    assert plain.expects(scenario(OneOf((Denied(401), Gone())))).client_gets == OneOf((Denied(403, None), Gone()))
    assert plain.expects(scenario(Gone())).raises == "Other"
    crashes = scenario(Denied(500, b"text"), raises="Error")
    assert replace(plain, crash=True, instead={}).expects(crashes).client_gets == Denied(500, None)
    dropped = replace(scenario(Gone()), dropped={"logs": "WARNING O12"})
    assert [replace(plain, drops=drops).expects(dropped).logs for drops in (True, False)] == ["WARNING O12", ""]
    ended = replace(plain, lasts=False, instead={}).expects(scenario(Closed(1000), logs="DEBUG O1"))
    assert (ended.logs, ended.raises) == (None, None)
    denies = Scenario("denies", "H6", "title", nothing, Denied(401))
    assert plain.expects(denies).logs == "WARNING H9"


def test_what_a_server_cannot_do_over_tls() -> None:
    (plain,) = (server for server in servers.SERVERS if server.name == "daphne")
    assert over_tls(plain).arguments(1, "a:b")[1:3] == ["daphne", "-e"]
    assert over_tls(plain).instead == plain.instead
    (differs,) = (server for server in servers.SERVERS if server.name == "gunicorn-asgi")
    asked = replace(scenario(Gone()), name="returns-in-vain", steps=(Leave(),))
    assert differs.expects(asked).steps == (Leave(),)
    assert over_tls(differs).expects(asked).steps == ()


def test_server_that_does_not_stop() -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    with process.stdout as output:
        output.readline()
        assert not servers.stop(process, patience=0.05)
    assert process.returncode == -9


def test_server_that_stops() -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    assert servers.stop(process)
    assert servers.stop(process)


def test_server_that_does_not_start() -> None:
    with (
        pytest.raises(RuntimeError, match="No module named no_such_server"),
        servers.running(Server("missing", "-m no_such_server {port}")),
    ):
        pass
