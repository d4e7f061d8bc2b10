"""The tests of a served guard, for every server. Test modules that use them have a fixture `served`."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from asgi_wsguard.probe.client import visit
from asgi_wsguard.probe.judge import run_scenario
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import Running, answers, running, stop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgi_wsguard.probe.model import Scenario

# Seconds. HTTP/3 in Python takes 4 of them for what a client does not read, and longer on a busy machine.
PATIENCE = 30.0


@contextlib.contextmanager
def lasting(served: Running) -> Iterator[Running]:
    """Return the server's process, or a new one for a server that does not outlast its clients."""
    if served.server.lasts:
        yield served
    else:
        with running(served.server, patience=0.0) as process:
            yield process


def server_starts(served: Running) -> None:
    """E5: the probe's own requests go through the guard."""
    assert answers(served.port, tls=served.tls)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def contract_holds(served: Running, scenario: Scenario) -> None:
    with lasting(served) as process:
        assert run_scenario(process, scenario, patience=PATIENCE).faults == []


@pytest.mark.parametrize("name", ["returns", "raises"])
def a_crash_path_denies_with_500(served: Running, name: str) -> None:
    """`without_extension="raise"` makes H1 and H2 the same on every server."""
    with lasting(served) as process:
        seen = visit(process.port, f"/raising/{name}/{name}", http=served.server.http, tls=process.tls)
    assert (seen.status, seen.opened, seen.cut, seen.fault) == (500, False, False, "")


def without_the_guard_it_does_not(served: Running) -> None:
    """Show that these tests can fail: no server keeps the contract on its own."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("accepts-and-returns", "sends-both")]
    results = []
    for scenario in scenarios:
        with lasting(served) as process:
            results.append(run_scenario(process, scenario, guarded=False, patience=1.0))
    assert [bool(result.faults) for result in results] == [True, True]


def log_is_clean(served: Running) -> None:
    """Check the whole log, after all scenarios have run."""
    log = served.log()
    assert "never awaited" not in log
    assert "was destroyed but it is pending" not in log
    # Before Python 3.12 asyncio says so of hypercorn's own KeyError over HTTP/2, too.
    assert "never retrieved" not in log or served.server.own_errors
    assert answers(served.port, tls=served.tls)


def sigterm_stops_it_at_once(served: Running) -> None:
    """Nothing that ran delays the stop. This test comes last, because it stops the server."""
    assert stop(served.process)
