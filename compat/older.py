"""The releases of the last years: some scenarios on each server that they have."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from asgi_wsguard.probe.model import Scenario
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import Server
from compat.environments import installed
from compat.releases import MEASURED, PACKAGES, Package, python_of
from compat.replay import bare_and_guarded, with_abilities
from compat.stored import EXTENSION, RELEASES, by_release, changes, older, save, together

CHOSEN = [scenario for scenario in SCENARIOS if scenario.name in MEASURED]
WHAT = [EXTENSION, *(scenario.name for scenario in CHOSEN)]

Cells = dict[str, Any]
"""The result of each scenario, [bare, guarded], and whether the server has the extension."""


def run(pool: Executor, names: Collection[str]) -> None:
    """Run the releases of these packages, or all that are not stored yet, and store the results."""
    stored = older()["packages"]
    for package in PACKAGES:
        if not names or package.name in names:
            known = {} if names else stored.get(package.name, {})
            stored[package.name] = _results_of(pool, package, known)
            print(package.name, file=sys.stderr, flush=True)
            ordered = {package.name: stored[package.name] for package in PACKAGES if package.name in stored}
            save(RELEASES, {"packages": ordered}, depth=5)


@dataclass(frozen=True)
class Served:
    """A server of a release, in its environment."""

    server: Server
    python: str

    def run(self, scenarios: Sequence[Scenario]) -> dict[str, list[str]]:
        """Return the results of the scenarios."""
        return bare_and_guarded(self.server, scenarios, self.python)


def served(package: Package, version: str, date: str, python: str) -> Iterator[Served]:
    """Yield the servers of a release, with what they can do."""
    interpreter = package.environment(version, date, python)
    for server in package.served(version):
        yield Served(with_abilities(server, interpreter), interpreter)


def _results_of(pool: Executor, package: Package, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return the results of a package's releases. Known ones are kept."""
    releases = {**known.get("releases", {})}
    servers: dict[str, dict[str, Served]] = {name: {} for name in package.servers}

    def prepare(version: str) -> None:
        date = package.date(version)
        python = python_of(date)
        for one in served(package, version, date, python):
            servers[one.server.name][version] = one
        there = installed(one.python)
        releases[version] = [date, python, {name: there[name] for name in package.libraries if name in there}]

    list(pool.map(prepare, [version for version in package.releases if version not in releases]))
    by_server = {}
    for name, new in servers.items():
        cells = by_release(known["servers"][name], known["releases"]) if known else {}
        _run(pool, {version: new[version] for version in package.releases if version in new}, cells)
        ordered = [version for version in package.releases if version in cells]
        by_server[name] = {what: changes({version: cells[version][what] for version in ordered}) for what in WHAT}
    return {"releases": {version: releases[version] for version in package.releases}, "servers": by_server}


def _run(pool: Executor, new: Mapping[str, Served], cells: dict[str, Cells]) -> None:
    """Add the cells of the releases that are new."""
    for (version, one), found in zip(new.items(), pool.map(lambda one: one.run(CHOSEN), new.values())):
        cells[version] = {EXTENSION: one.server.denial, **found}
    doubtful: dict[str, set[str]] = {version: set() for version in new}
    for pair in pairwise(new):  # a change may be chance
        changed = {name for name in MEASURED if cells[pair[0]][name] != cells[pair[1]][name]}
        for version in pair:
            doubtful[version] |= changed

    def again(version: str) -> dict[str, list[str]]:
        return new[version].run([scenario for scenario in CHOSEN if scenario.name in doubtful[version]])

    for version, found in zip(new, pool.map(again, new)):
        cells[version].update(together(cells[version], found))
