"""Every scenario on every server: what the client gets, what is left, whether the server goes on, and its log."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from asgi_wsguard.probe.client import visit
from asgi_wsguard.probe.model import Leave
from asgi_wsguard.probe.play import play
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import SERVERS, Running, Server, answers, running, stop
from asgi_wsguard.probe.tls import over_tls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgi_wsguard.probe.model import Scenario

# The clauses that the scenarios must meet.
CLAUSES = [
    "H1",
    "H2",
    "H3",
    "H4",
    "H5",
    "H6",
    "H7",
    "H8",
    "H10",
    "H11",
    "H12",
    "H13",
    "H14",
    "O1",
    "O2",
    "O3",
    "O4",
    "O5",
    "O6",
    "O7",
    "O8",
    "O9",
    "O10",
    "O11",
    "O12",
    "O13",
    "O14",
    "O15",
    "E2",
    "E3",
    "E4",
    "E6",
    "E8",
    "E9",
]


def test_every_clause_has_a_scenario() -> None:
    assert {scenario.clause for scenario in SCENARIOS} == set(CLAUSES)
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.name)
def served(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(request.param) as process:
        yield process


def test_server_starts(served: Running) -> None:
    """E5: the probe's own requests go through the guard."""
    assert answers(served.port, tls=served.tls)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_contract_holds(served: Running, scenario: Scenario) -> None:
    assert play(served, scenario).faults == []


@pytest.mark.parametrize("name", ["returns", "raises"])
def test_a_crash_path_denies_with_500(served: Running, name: str) -> None:
    """`without_extension="raise"` makes H1 and H2 the same on every server."""
    seen = visit(served.port, f"/raising/{name}/{name}", http2=served.server.http2, tls=served.tls)
    assert (seen.status, seen.opened, seen.cut, seen.fault) == (500, False, False, "")


def test_without_the_guard_it_does_not(served: Running) -> None:
    """Show that these tests can fail: on no server does the contract hold by itself."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("accepts-and-returns", "sends-both")]
    results = [play(served, scenario, guarded=False, patience=1.0) for scenario in scenarios]
    assert [bool(result.faults) for result in results] == [True, True]


def test_log_is_clean(served: Running) -> None:
    """Look at the whole log, once all scenarios have been played."""
    log = served.log()
    assert "never awaited" not in log
    assert "was destroyed but it is pending" not in log
    # Before Python 3.12 asyncio says so of hypercorn's own KeyError over HTTP/2, too.
    assert "never retrieved" not in log or served.server.own_errors
    assert answers(served.port, tls=served.tls)


def test_sigterm_stops_it_at_once(served: Running) -> None:
    """Nothing of what was played holds it up. It comes last, as the server is gone then."""
    assert stop(served.process)


@pytest.mark.parametrize(("kind", "patience", "stops"), [("bare", 2.0, False), ("guarded", 10.0, True)])
def test_an_app_that_outlives_its_client_does_not_hold_up_uvicorn(kind: str, patience: float, stops: bool) -> None:
    with running(SERVERS[0]) as process:
        visit(process.port, f"/{kind}/waits-until-left/1", steps=(Leave(),))
        assert stop(process.process, patience) is stops


def test_a_missing_server_fails() -> None:
    with (
        pytest.raises(RuntimeError, match="No module named no_such_server"),
        running(Server("missing", "-m no_such_server {port}")),
    ):
        pass


def test_differences_are_about_scenarios_that_exist() -> None:
    names = {scenario.name for scenario in SCENARIOS}
    fields = {field.name for field in dataclasses.fields(SCENARIOS[0])}
    for server in (*SERVERS, *map(over_tls, SERVERS)):
        for name, difference in server.instead.items():
            assert name in names
            assert fields.issuperset(difference)
