"""Every scenario on every server: what the client gets, what is left, whether the server goes on, and its log."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from asgi_wsguard.probe.client import visit
from asgi_wsguard.probe.model import Leave
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import SERVERS, SETUPS, Running, Server, running, stop
from asgi_wsguard.probe.tls import over_tls
from harness import contract

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    "O16",
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


KINDS = ("bare", "guarded")


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.name)
def served(request: pytest.FixtureRequest) -> Iterator[Running]:
    with running(request.param) as process:
        yield process


test_server_starts = contract.server_starts
test_contract_holds = contract.contract_holds
test_a_crash_path_denies_with_500 = contract.a_crash_path_denies_with_500
test_without_the_guard_it_does_not = contract.without_the_guard_it_does_not
test_log_is_clean = contract.log_is_clean
test_sigterm_stops_it_at_once = contract.sigterm_stops_it_at_once


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
    for server in (*SETUPS, *map(over_tls, SERVERS)):
        for name, difference in server.instead.items():
            assert name in names
            assert fields.issuperset(difference)
