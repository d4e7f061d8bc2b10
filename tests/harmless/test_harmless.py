"""Working apps do behind the guard what they do bare, on every server."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from asgi_wsguard.compare.happened import Happened
from harmless.apps import apps
from harmless.compare import faults
from harmless.improvements import IMPROVEMENTS, Improvement, improvements
from harmless.model import App
from harmless.play import SERVERS, Played, play
from harmless.stored import stored
from harness.forks import forked_again as forked_again

pytestmark = pytest.mark.skipif(sys.version_info < (3, 12), reason="tells whose task is whose by its context")
AT_ONCE = 4


CASES = [(server, app) for server in SERVERS for app in apps() if app.works_on(server)]


@pytest.fixture(scope="module")
def played(request: pytest.FixtureRequest) -> Iterator[dict[str, Future[Played]]]:
    """What happens on each server, to those apps that are asked for: some servers at a time, as they mostly wait."""
    wanted: defaultdict[str, list[App]] = defaultdict(list)
    for item in request.session.items:
        if item.path == request.path and "app" in getattr(item, "callspec", request).__dict__.get("params", {}):
            wanted[item.callspec.params["server"]].append(item.callspec.params["app"])
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {server: pool.submit(play, SERVERS[server], chosen) for server, chosen in wanted.items()}


@pytest.mark.parametrize(("server", "app"), CASES, ids=lambda value: getattr(value, "name", value))
def test_app_does_the_same(played: dict[str, Future[Played]], server: str, app: App) -> None:
    wrong = faults(*played[server].result()[app.name], improvements(server, app.name))
    if wrong:
        # Once more, with nothing else beside it: the machine may have been too busy for the scaled limits.
        wrong = faults(*play(SERVERS[server], [app])[app.name], improvements(server, app.name))
    if wrong:
        pytest.fail("\n".join(wrong), pytrace=False)


def test_improvements_are_about_apps_that_exist() -> None:
    pairs = {(server, app.name) for server, app in CASES}
    for improvement in IMPROVEMENTS:
        assert {(server, improvement.app) for server in improvement.servers} <= pairs


def test_what_is_stored_is_so() -> None:
    """On the real defaults. If not, `scripts/harmless` runs it all again."""
    servers = stored()["servers"]
    assert {(server, app) for server, cells in servers.items() for app in cells} == {
        (server, app.name) for server, app in CASES
    }
    named = {(one.app, server, one.part): one.clause for one in IMPROVEMENTS for server in one.servers}
    for server, cells in servers.items():
        for app, parts in cells.items():
            for part, difference in parts.items():
                assert difference["clause"] == named[app, server, part]


HAPPENED = Happened({"ann": ["'hello'", "end 1000 ''"]}, {"ann": ["called"]}, [], [], 0.1)


@pytest.mark.parametrize(
    "change",
    [
        {"client": {"ann": ["'hello'", "end 1011 ''"]}},
        {"client": {}},
        {"journal": {"ann": ["called", "called"]}},
        {"logs": ["ERROR"]},
        {"left": ["task"]},
        {"took": 3.0},
    ],
    ids=str,
)
def test_each_part_counts(change: dict[str, object]) -> None:
    guarded = replace(HAPPENED, **change)
    assert faults(HAPPENED, HAPPENED, []) == []
    (fault,) = faults(HAPPENED, guarded, [])
    assert fault.startswith("not the same")


def test_an_improvement_must_happen() -> None:
    improvement = Improvement("O12", "app", ("daphne",), "left", guarded=[])
    bare = replace(HAPPENED, left=["task"])
    assert faults(bare, HAPPENED, [improvement]) == []
    assert faults(HAPPENED, HAPPENED, [improvement]) == ["O12 is no improvement any more: left is the same"]
    (fault,) = faults(bare, replace(HAPPENED, left=["another"]), [improvement])
    assert fault.startswith("O12 explains it otherwise")
