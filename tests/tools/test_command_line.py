"""What the commands print, and which status they end with."""

from __future__ import annotations

import importlib
import io
import json
import runpy
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

import asgi_wsguard.cli
from asgi_wsguard.cli import commands, explain, probe
from asgi_wsguard.contract import CLAUSES
from asgi_wsguard.probe.newest import holds, newest
from asgi_wsguard.probe.results import Cell, Pair, Results, ServerResults, from_json
from asgi_wsguard.probe.scenarios import EVERYDAY, SCENARIOS
from asgi_wsguard.probe.servers import SERVERS, SETUPS, Server

GOOD = Cell("500", 0.01, "")
HANGS = Cell("nothing", 1.5, "app", ("the client waited for 1.5 s", "the app still runs"))


def call(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(commands.commands, arguments, env=env)


def wrong(*arguments: str) -> str:
    """Return the one line that the input is answered with."""
    result = call(*arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.output.splitlines()
    return line


# The group


def test_version() -> None:
    assert call("--version").output == f"asgi-wsguard {asgi_wsguard.__version__}\n"


def test_help_names_every_command_and_loads_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> Any:
        raise AssertionError(name)

    monkeypatch.setattr(commands, "import_module", load)
    for arguments in ([], ["--help"]):
        result = call(*arguments)
        assert result.exit_code == 0
        for name in commands.COMMANDS:
            assert f"\n  {name}" in result.output


@pytest.mark.parametrize("name", commands.COMMANDS)
def test_every_command_has_help(name: str) -> None:
    result = call(name, "--help")
    assert (result.exit_code, result.output.startswith(f"Usage: asgi-wsguard {name}")) == (0, True)


def test_names_are_the_same_in_upper_case() -> None:
    assert call("EXPLAIN", "h4").exit_code == 0


def test_a_signature_of_the_log_is_explained() -> None:
    assert call("explain", "wsguard-H4").output == call("explain", "H4").output


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["prob"], "asgi-wsguard: no command 'prob': did you mean probe? There is probe,"),
        (["xyz"], "asgi-wsguard: no command 'xyz'. There is probe,"),
        (["--loud"], "asgi-wsguard: No such option"),
        (["explain", "--loud"], "asgi-wsguard explain: No such option"),
        (["explain", "H1", "H2"], "asgi-wsguard explain: Got unexpected extra argument"),
    ],
)
def test_wrong_input(arguments: list[str], line: str) -> None:
    assert wrong(*arguments).replace(": no such option", ": No such option").startswith(line)


def test_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def stopped() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(explain, "explain", stopped)
    result = call("explain")
    assert (result.exit_code, result.output.split()) == (130, ["asgi-wsguard:", "interrupted"])


def test_what_imports_it_runs_nothing() -> None:
    importlib.import_module("asgi_wsguard.__main__")


@pytest.fixture
def default_signals() -> Iterator[None]:
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in the background job of a shell
    yield
    signal.signal(signal.SIGINT, interrupt)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@pytest.mark.usefixtures("default_signals")
def test_as_a_module(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["asgi_wsguard", "explain", "H99"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(Path(asgi_wsguard.__file__).with_name("__main__.py")), run_name="__main__")
    assert ended.value.code == 2
    assert "asgi-wsguard explain: no clause 'H99'" in capsys.readouterr().err
    for number in (signal.SIGINT, signal.SIGTERM):
        assert signal.getsignal(number) is signal.default_int_handler


def test_libraries_that_are_missing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(asgi_wsguard.cli, "find_spec", lambda name: None if name in ("rich", "h2") else True)
    assert asgi_wsguard.cli.main() == 2
    told = "asgi-wsguard: not installed: rich, h2. Install them: pip install 'asgi-wsguard[cli]'\n"
    assert capsys.readouterr().err == told


@pytest.mark.usefixtures("default_signals")
def test_an_encoding_that_lacks_a_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    stdout = io.TextIOWrapper(written, "ascii")
    monkeypatch.setattr(sys, "stdout", stdout)
    monkeypatch.setattr(sys, "argv", ["asgi-wsguard", "explain", "H1"])
    with pytest.raises(SystemExit) as ended:
        asgi_wsguard.cli.main()
    stdout.flush()
    assert not ended.value.code
    assert b"|? nothing " in written.getvalue()


# explain


def test_explain_all() -> None:
    result = call("explain")
    assert result.exit_code == 0
    assert [line.split()[0] for line in result.output.splitlines()] == [*CLAUSES]


@pytest.mark.parametrize("clause", CLAUSES)
def test_explain_one(clause: str) -> None:
    result = call("explain", clause.lower(), COLUMNS="1000")
    assert result.exit_code == 0
    for text in CLAUSES[clause][1:]:
        assert text in result.output
    for scenario in SCENARIOS:
        if scenario.clause == clause:
            assert f" {scenario.name} " in result.output
            assert scenario.title in result.output


def test_explain_says_what_servers_do() -> None:
    output = call("explain", "O1", COLUMNS="300").output
    assert "Without the guard, measured on 20" in output
    assert "✗ close 1006" in output
    assert "uvicorn-*, " in output


def test_explain_a_clause_without_a_scenario() -> None:
    assert "No scenario of the probe tests this clause alone." in call("explain", "E7").output


def test_explain_what_there_is_not() -> None:
    line = wrong("explain", "H99")
    assert (
        line
        == "asgi-wsguard explain: no clause 'H99': did you mean H9? There is H1 to H14, O1 to O16, D1 to D5, E1 to E9."
    )


def test_what_was_seen_is_of_all_scenarios_and_servers() -> None:
    """If not: scripts/compat newest."""
    servers = newest()["servers"]
    assert [*servers] == [server.name for server in SETUPS]
    for name, cells in servers.items():
        assert [*cells] == [scenario.name for scenario in SCENARIOS]
        lasts = name in {server.name for server in SERVERS}
        assert all(holds(guarded) for _, guarded in cells.values()) is lasts


# probe


class Ran:
    """What the command would have run, and its result."""

    def __init__(self) -> None:
        self.servers: list[str] = []
        self.scenarios: list[str] = []
        self.pair = Pair(HANGS, GOOD)
        self.failed: dict[str, str] = {}

    def __call__(self, servers: Any, scenarios: Any, done: Any) -> Any:
        done()
        self.servers = [server.name for server in servers]
        self.scenarios = [scenario.name for scenario in scenarios]
        pairs = dict.fromkeys(self.scenarios, self.pair)
        return Results({name: ServerResults({"package": "1.0"}, pairs) for name in self.servers}), self.failed


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    there = [Server("one-asyncio", ""), Server("one-trio", ""), Server("two", "")]
    monkeypatch.setattr(probe, "SETUPS", [*there, Server("none", "", {"no_such_server": "no-such-server[it]"})])
    fake = Ran()
    monkeypatch.setattr(probe, "run", fake)
    return fake


@pytest.mark.parametrize("terminal", [False, True])
def test_probe_all(ran: Ran, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    monkeypatch.setattr(Console, "is_terminal", terminal)
    result = call("probe")
    assert result.exit_code == 0, result.output
    assert ran.servers == ["one-asyncio", "one-trio", "two"]
    assert ran.scenarios == [scenario.name for scenario in SCENARIOS]
    for text in (
        f"✗ 0 of {len(SCENARIOS)}",
        f"{len(SCENARIOS)} of {len(SCENARIOS)}",
        "package 1.0",
        "H1",
        "✗ nothing (1.5 s); left: app",
        "what it means",
    ):
        assert text in result.output
    assert "none is not installed: pip install no-such-server[it]" in result.output


@pytest.mark.parametrize(
    ("asked", "servers"),
    [
        (["two"], ["two"]),
        (["ONE"], ["one-asyncio", "one-trio"]),
        (["one-trio", "two", "two"], ["one-trio", "two"]),
    ],
)
def test_probe_servers(ran: Ran, asked: list[str], servers: list[str]) -> None:
    assert call("probe", *(word for name in asked for word in ("--server", name))).exit_code == 0
    assert ran.servers == servers


def test_probe_short(ran: Ran) -> None:
    result = call("probe", "--server", "two", "--short")
    assert set(ran.scenarios) == {*EVERYDAY}
    assert "what it means" not in result.output
    last = result.output.strip().splitlines()[-1].rstrip()
    assert last == "two: the contract held in 0 of 8 without the guard, and in 8 of 8 with it."


def test_probe_scenarios(ran: Ran) -> None:
    assert call("probe", "--scenario", "o1", "--scenario", "Raises").exit_code == 0
    assert ran.scenarios == ["raises", "accepts-and-returns", "talks-and-returns"]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--server", "tow"], "no server 'tow': did you mean two? There is one, one-asyncio, one-trio, two, none."),
        (["--server", "none"], "none is not installed: pip install no-such-server[it]"),
        (["--server", "two", "--server", "none"], "none is not installed: pip install no-such-server[it]"),
        (["--scenario", "retuns"], "no scenario 'retuns': did you mean returns? There is H1 to H14, O1 to O16, D1 to"),
        (["--scenario", "E7"], "no scenario is about E7 alone"),
        (["--json", "/no/such/folder/file"], "cannot write /no/such/folder/file: No such file or directory"),
        (["--svg", "/"], "cannot write /: Is a directory"),
    ],
)
@pytest.mark.usefixtures("ran")
def test_probe_wrong(arguments: list[str], line: str) -> None:
    assert wrong("probe", *arguments).startswith(f"asgi-wsguard probe: {line}")


@pytest.mark.usefixtures("ran")
def test_no_server_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    none = [Server(name, "", {"no_such_module": package}) for name, package in (("a", "aa"), ("b", "bb"), ("c", "bb"))]
    monkeypatch.setattr(probe, "SETUPS", none)
    assert wrong("probe") == "asgi-wsguard probe: no server is installed: pip install aa bb"


def test_only_differences(ran: Ran) -> None:
    ran.pair = Pair(GOOD, GOOD)
    assert "returns at once" in call("probe").output
    assert "returns at once" not in call("probe", "--only-differences").output


def test_the_contract_does_not_hold(ran: Ran) -> None:
    ran.pair = Pair(GOOD, HANGS)
    result = call("probe", "--server", "two", "--scenario", "returns")
    assert result.exit_code == 1
    assert "returns on two, guarded: the client waited for 1.5 s; the app still runs" in result.output


def test_a_server_that_does_not_start(ran: Ran) -> None:
    ran.failed = {"two": "two did not start: address already in use"}
    result = call("probe")
    assert result.exit_code == 1
    assert "two did not start: address already in use" in result.output


def test_files(ran: Ran, tmp_path: Path) -> None:
    files = {kind: tmp_path / kind for kind in ("json", "markdown", "svg")}
    assert call("probe", *(word for kind in files for word in (f"--{kind}", str(files[kind])))).exit_code == 0
    read = {kind: file.read_text(encoding="utf-8") for kind, file in files.items()}
    assert from_json(read["json"]).servers["two"].results["returns"] == ran.pair
    assert f"| two | ✗ 0 of {len(SCENARIOS)} | {len(SCENARIOS)} of {len(SCENARIOS)} | package 1.0 |" in read["markdown"]
    assert "| H1 | returns at once | ✗ nothing (1.5 s); left: app | 500 | all |" in read["markdown"]
    assert read["svg"].startswith("<svg")


@pytest.mark.usefixtures("ran")
def test_a_file_that_cannot_be_written_any_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "file"
    run = probe.run

    def fills_the_disk(*arguments: Any) -> Any:
        file.unlink()
        file.mkdir()
        return run(*arguments)

    monkeypatch.setattr(probe, "run", fills_the_disk)
    result = call("probe", "--json", str(file))
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == f"asgi-wsguard probe: cannot write {file}: Is a directory"


def test_json_of_another_version() -> None:
    with pytest.raises(ValueError, match="are of version 2, not 1"):
        from_json(json.dumps({"version": 2}))
