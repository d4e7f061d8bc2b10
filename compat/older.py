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
from compat.releases import PACKAGES, PLAYED, Package, python_of
from compat.replay import bare_and_guarded, with_abilities
from compat.stored import EXTENSION, RELEASES, by_release, changes, older, save, together

CHOSEN = [scenario for scenario in SCENARIOS if scenario.name in PLAYED]
WHAT = [EXTENSION, *(scenario.name for scenario in CHOSEN)]

Cells = dict[str, Any]
"""What came of each scenario: [bare, guarded]; and whether the server has the extension."""


def play(pool: Executor, names: Collection[str]) -> None:
    """Play the releases of those packages, or those of all that are not stored yet, and write down what came of it."""
    stored = older()["packages"]
    for package in PACKAGES:
        if not names or package.name in names:
            known = {} if names else stored.get(package.name, {})
            stored[package.name] = _played(pool, package, known)
            print(package.name, file=sys.stderr, flush=True)
            ordered = {package.name: stored[package.name] for package in PACKAGES if package.name in stored}
            save(RELEASES, {"packages": ordered}, depth=5)


@dataclass(frozen=True)
class Served:
    """A server of a release, in its environment."""

    server: Server
    python: str

    def play(self, scenarios: Sequence[Scenario]) -> dict[str, list[str]]:
        """Return what came of the scenarios."""
        return bare_and_guarded(self.server, scenarios, self.python)


def served(package: Package, version: str, date: str, python: str) -> Iterator[Served]:
    """Yield the servers of a release, with what they can do."""
    interpreter = package.environment(version, date, python)
    for server in package.served(version):
        yield Served(with_abilities(server, interpreter), interpreter)


def _played(pool: Executor, package: Package, known: Mapping[str, Any]) -> dict[str, Any]:
    """Return what came of a package's releases; those that are known stay as they are."""
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
    played = {}
    for name, new in servers.items():
        cells = by_release(known["servers"][name], known["releases"]) if known else {}
        _play(pool, {version: new[version] for version in package.releases if version in new}, cells)
        ordered = [version for version in package.releases if version in cells]
        played[name] = {what: changes({version: cells[version][what] for version in ordered}) for what in WHAT}
    return {"releases": {version: releases[version] for version in package.releases}, "servers": played}


def _play(pool: Executor, new: Mapping[str, Served], cells: dict[str, Cells]) -> None:
    """Add the cells of the releases that are new."""
    for (version, one), played in zip(new.items(), pool.map(lambda one: one.play(CHOSEN), new.values())):
        cells[version] = {EXTENSION: one.server.denial, **played}
    doubtful: dict[str, set[str]] = {version: set() for version in new}
    for pair in pairwise(new):  # a change may be a matter of chance
        changed = {name for name in PLAYED if cells[pair[0]][name] != cells[pair[1]][name]}
        for version in pair:
            doubtful[version] |= changed

    def again(version: str) -> dict[str, list[str]]:
        return new[version].play([scenario for scenario in CHOSEN if scenario.name in doubtful[version]])

    for version, played in zip(new, pool.map(again, new)):
        cells[version].update(together(cells[version], played))
