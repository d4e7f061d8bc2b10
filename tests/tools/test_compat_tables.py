"""What `scripts/compat` writes down, and how the docs show it."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.judge import Result
from asgi_wsguard.probe.newest import holds
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import Server
from compat import tables
from compat.cells import cell
from compat.stored import by_release, changes, outcomes, save, spread, together

SERVER = Server("server", "")
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
LEFT = {"running": False, "tasks": [], "notes": [], "raised": ""}


def told(
    name: str, seen: Observation, *, guarded: bool = False, server: Server = SERVER, log: str = "", **left: Any
) -> str:
    scenario = BY_NAME[name]
    result = Result(server.expects(scenario), seen, {**LEFT, **left}, log, [])
    return cell(server, scenario, result, guarded=guarded)


def denied(status: int, body: bytes = b"", **more: Any) -> Observation:
    return Observation(status=status, body=body, **more)


def closed(code: int, **more: Any) -> Observation:
    return Observation(status=101, opened=True, code=code, **more)


def test_bare_denies_in_its_own_words() -> None:
    assert told("raises", denied(500, b"oh")) == "500"
    assert told("raises", denied(500, b"oh"), guarded=True) == "500; in part"
    assert told("raises", denied(403)) == "403; wrong"


def test_bare_may_deny_with_more_than_it_could() -> None:
    server = Server("server", "", denial=False)
    assert told("raises", denied(403), server=server) == "403"
    assert told("raises", denied(500), server=server) == "500"
    assert told("raises", denied(500), server=server, guarded=True) == "500; wrong"


def test_the_apps_own_response_is_the_apps() -> None:
    kept = [("x-probe", "kept")]
    assert told("denies", denied(401, b"log in first", headers=kept)) == "401"
    assert told("denies", denied(401, b"log in", headers=kept)) == "401; in part"
    assert told("raises-inside-body", denied(401, b"half", cut=True)) == "401, cut"
    assert told("raises-inside-body", denied(401, b"half")) == "401; wrong"


def test_either_of_two_is_right() -> None:
    assert [told("closes-and-left", closed(code)) for code in (4001, 1000, 1006)] == [
        "close 4001",
        "close 1000",
        "close 1006; wrong",
    ]


def test_what_is_wrong() -> None:
    assert told("accepts-and-returns", closed(1006)) == "close 1006; wrong"
    assert told("closes", closed(4001)) == "close 4001; in part"
    assert told("waits-until-left", closed(1000), running=True, tasks=["app"]) == "close 1000; the app stays"
    assert told("sends-after-leaving", closed(1000), notes=["sent"]) == "close 1000; the app is told otherwise"
    assert told("sends-after-leaving", closed(1000), notes=["OSError"]) == "close 1000"
    assert told("closes-twice", closed(4001), raised="RuntimeError") == "close 4001; the app gets an exception"
    assert told("returns", denied(500), tasks=["handler"]) == "500; tasks stay"
    assert told("returns", denied(500), log="Task was destroyed but it is pending!") == "500; tasks stay"
    assert told("returns", Observation(hung=True)) == "nothing; wrong"


def test_a_dead_server() -> None:
    result = Result(BY_NAME["returns"], Observation(), {}, "", [])
    assert cell(SERVER, BY_NAME["returns"], result, guarded=False) == "no response; the server dies"


def test_two_runs() -> None:
    first, again = {"a": ["500", "403"], "b": ["nothing; wrong", "403"]}, {"b": ["500", "403"]}
    assert together(first, again) == {"b": ["500 or nothing; wrong", "403"]}
    assert together({"a": ["500; tasks stay", "403"]}, {"a": ["500", "403"]}) == {"a": ["500", "403"]}
    assert together({"a": ["500; tasks stay", "403"]}, {"a": ["500; tasks stay", "403"]})["a"][0] == "500; tasks stay"
    assert outcomes("500 or nothing; wrong") == ["500", "nothing; wrong"]
    assert holds("500 or 403")
    assert not holds("500 or nothing; wrong")


def test_only_changes_are_kept() -> None:
    cells = {"1": ["a"], "2": ["a"], "3": ["b"], "4": ["a"]}
    assert changes(cells) == {"1": ["a"], "3": ["b"], "4": ["a"]}
    assert spread(changes(cells), ["0", *cells]) == cells


def test_releases() -> None:
    server = {"extension": {"1": False, "3": True}, "returns": {"1": ["403", "403"], "2": ["500", "500"]}}
    assert by_release(server, ["0", "1", "2", "3"]) == {
        "1": {"extension": False, "returns": ["403", "403"]},
        "2": {"extension": False, "returns": ["500", "500"]},
        "3": {"extension": True, "returns": ["500", "500"]},
    }


def test_file(tmp_path) -> None:
    save(tmp_path / "file", {"servers": {"one": {"a": [1], "b": {"c": 2}}}}, depth=3)
    date, *lines = (tmp_path / "file").read_text().splitlines()[1:]
    assert date == f' "date": "{datetime.date.today()}",'
    assert lines == [' "servers": {', '  "one": {', '   "a": [1],', '   "b": {"c": 2}', "  }", " }", "}"]


@pytest.mark.parametrize(
    ("right", "since"),
    [
        ("++++", "**always**"),
        ("----", "never yet"),
        ("--++", "**since 3**"),
        ("+--+", "**since 4**"),
        ("++--", "until 2"),
        ("-+--", "until 2"),
    ],
)
def test_since(right: str, since: str) -> None:
    cells = {str(number): ["500" if one == "+" else "403; wrong", "500"] for number, one in enumerate(right, 1)}
    assert tables.since_when(cells) == since


@pytest.mark.parametrize(
    ("bare", "guarded", "shown"),
    [
        ("500", "500", "✓ 500"),
        ("(it left)", "(it left)", "✓"),
        ("close 1006; wrong", "close 1000", "1006 → 1000"),
        ("(it left); the app stays", "(it left)", "the app stays → ✓"),
        ("101, then nothing; wrong, tasks stay", "close 1000", "open, and hangs, tasks stay → 1000"),
        ("(it left); the app stays or (it left)", "(it left)", "the app stays or ✓ → ✓"),
        ("nothing; wrong or close 1006; wrong", "close 1011", "hangs or 1006 → 1011"),
    ],
)
def test_shown(bare: str, guarded: str, shown: str) -> None:
    assert tables.bare_to_guarded(bare, guarded) == shown


def test_readme_is_filled() -> None:
    page = "above\n<!-- compat -->\nold\n<!-- /compat -->\nbelow\n"
    filled = tables.with_table(page)
    assert filled == f"above\n<!-- compat -->\n{tables.readme()}\n<!-- /compat -->\nbelow\n"
    assert tables.with_table(filled) == filled
