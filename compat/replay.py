"""Runs scenarios on one server, and returns the result of each."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace

from asgi_wsguard.probe.client import visit
from asgi_wsguard.probe.model import Scenario
from asgi_wsguard.probe.run import Series
from asgi_wsguard.probe.servers import Server, get, running
from compat.cells import cell
from compat.stored import either

OFTEN = 10
"""How often to run a scenario without the guard, if it is short, because the result may vary."""

LASTS = re.compile("nothing|stay|dies")
"""Words in a cell which mean that it took long, or that the server had to be restarted."""


def bare_and_guarded(
    server: Server, scenarios: Sequence[Scenario], python: str = sys.executable
) -> dict[str, list[str]]:
    """Return the results of the scenarios, [bare, guarded], by their names."""
    bare = replay(server, scenarios, guarded=False, python=python)
    brief = [scenario for scenario in scenarios if not LASTS.search(bare[scenario.name])]
    more = OFTEN - 1 if server.lasts else 0  # restarting it for each takes too long
    often = replay(server, brief * more, guarded=False, python=python)
    guarded = replay(server, scenarios, guarded=True, python=python)
    return {name: [either([cell, often.get(name, cell)]), guarded[name]] for name, cell in bare.items()}


def replay(server: Server, scenarios: Sequence[Scenario], *, guarded: bool, python: str) -> dict[str, str]:
    """Return the results of the scenarios, by their names. A scenario may occur several times."""
    series = Series(server, [replace(one, raises=None) for one in scenarios], guarded=guarded, python=python)
    found: dict[str, list[str]] = {}
    for result, scenario in zip(series.results(), scenarios):
        found.setdefault(scenario.name, []).append(cell(server, scenario, result, guarded=guarded))
    return {name: either(cells) for name, cells in found.items()}


def with_abilities(server: Server, python: str) -> Server:
    """Return the server with the abilities that it reports: its denial extension, and its ASGI version."""
    with running(server, python=python) as process:
        visit(process.port, "/guarded/returns/0", http=server.http)
        left = json.loads(get(process.port, "/left/0/5", 10.0))
        return replace(server, denial=left["extension"], drops=left["drops"])
