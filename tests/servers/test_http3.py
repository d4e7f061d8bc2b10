"""The contract over HTTP/3, where hypercorn does not outlast its first client: a server for each scenario."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asgi_wsguard.probe.client import visit
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import HYPERCORN_OVER_HTTP3, Running, running
from harness import contract
from harness.forks import forked as forked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgi_wsguard.probe.model import Scenario

KINDS = ("bare", "guarded")
# The first of each clause, as starting servers takes its time. `scripts/compat newest hypercorn-http3` runs them all.
OF_EACH_CLAUSE = {scenario.clause: scenario for scenario in reversed(SCENARIOS)}.values()


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    with running(HYPERCORN_OVER_HTTP3) as process:
        yield process


@pytest.mark.parametrize("scenario", OF_EACH_CLAUSE, ids=lambda scenario: scenario.name)
def test_contract_holds(served: Running, scenario: Scenario) -> None:
    contract.contract_holds(served, scenario)


test_server_starts = contract.server_starts
test_a_crash_path_denies_with_500 = contract.a_crash_path_denies_with_500
test_without_the_guard_it_does_not = contract.without_the_guard_it_does_not
test_log_is_clean = contract.log_is_clean
test_sigterm_stops_it_at_once = contract.sigterm_stops_it_at_once


@pytest.mark.parametrize("name", ["returns", "raises", "closes-first"])
def test_h5_over_http3_the_servers_own_answer_is_illegal(name: str) -> None:
    with running(HYPERCORN_OVER_HTTP3, patience=0.0) as process:
        bare, guarded = (visit(process.port, f"/{kind}/{name}/1", http=3, tls=process.tls) for kind in KINDS)
    assert "connection-specific" in bare.fault
    assert (guarded.status, guarded.fault) == (403 if name == "closes-first" else 500, "")


@pytest.mark.parametrize("kind", KINDS)
def test_over_http3_the_first_close_ends_it_for_all(kind: str) -> None:
    """If this fails, hypercorn can be probed like the other servers: `Server.lasts`."""
    with running(HYPERCORN_OVER_HTTP3, patience=0.0) as process:
        first, next_one = (
            visit(process.port, f"/{kind}/closes/{number}", http=3, tls=process.tls, patience=patience)
            for number, patience in ((1, 5.0), (2, 1.0))
        )
    assert first.code == 4001
    assert (next_one.hung, next_one.status) == (True, None)
