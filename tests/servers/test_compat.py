"""The stored results are current: a sample of it runs again. If it differs, `scripts/compat` runs all of it again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from asgi_wsguard.probe.newest import newest
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import SETUPS, Server
from compat.newest import pinned
from compat.older import CHOSEN, served
from compat.releases import PACKAGES, Package
from compat.replay import replay
from compat.stored import EXTENSION, older, outcomes, spread
from harness.environments import find_python
from harness.forks import forked as forked

STORED_NEWEST = newest()
STORED_RELEASES = older()["packages"]

# All that is stored of these two, and of the newest of every server these rows.
SAMPLE = [("uvicorn", "0.20.0", "uvicorn-websockets"), ("hypercorn", "0.14.4", "hypercorn-asyncio")]
ROWS = ("raises", "accepts-and-returns", "closes-1006")

ATTEMPTS = 3
"""A busy machine may be late, and some is a matter of chance."""

Cells = dict[str, list[str]]
"""[bare, guarded], by the name of the scenario."""


def differences(server: Server, stored: Cells, python: str = sys.executable) -> Cells:
    """Play what is stored, and again what does not agree; return what never does."""
    differs = stored
    for _ in range(ATTEMPTS):
        scenarios = [scenario for scenario in SCENARIOS if scenario.name in differs]
        bare, guarded = (replay(server, scenarios, guarded=kind, python=python) for kind in (False, True))
        cells = {name: [bare[name], guarded[name]] for name in bare}
        differs = {
            name: both
            for name, both in cells.items()
            if any(cell not in outcomes(known) for cell, known in zip(both, stored[name]))
        }
    return differs


def differences_of_release(package: Package, version: str, name: str) -> Cells:
    stored = STORED_RELEASES[package.name]
    date, python, _ = stored["releases"][version]
    (there,) = [one for one in served(package, version, date, python) if one.server.name == name]
    changes = stored["servers"][name]
    cells = {what: spread(changes[what], stored["releases"])[version] for what in changes}
    assert there.server.denial is cells.pop(EXTENSION)
    return differences(there.server, cells, there.python)


def differences_of_newest(server: Server) -> Cells:
    stored = STORED_NEWEST["servers"][server.name]
    return differences(server, {name: stored[name] for name in ROWS})


@pytest.fixture(scope="module")
def measured() -> Iterator[dict[str, Future[Cells]]]:
    """Play the sample side by side."""
    packages = {package.name: package for package in PACKAGES}
    with ThreadPoolExecutor(4) as pool:
        yield {
            **{
                f"{name} {version}": pool.submit(differences_of_release, packages[package], version, name)
                for package, version, name in SAMPLE
            },
            **{server.name: pool.submit(differences_of_newest, server) for server in SETUPS},
        }


@pytest.mark.parametrize(("package", "version", "server"), SAMPLE)
def test_release_agrees(package: str, version: str, server: str, measured: dict[str, Future[Cells]]) -> None:
    find_python(STORED_RELEASES[package]["releases"][version][1])
    assert measured[f"{server} {version}"].result() == {}


@pytest.mark.parametrize("server", SETUPS, ids=lambda server: server.name)
def test_newest_agrees(server: Server, measured: dict[str, Future[Cells]]) -> None:
    assert measured[server.name].result() == {}


def test_newest_has_everything() -> None:
    assert STORED_NEWEST["versions"] == pinned()
    names = [scenario.name for scenario in SCENARIOS]
    assert {name: list(cells) for name, cells in STORED_NEWEST["servers"].items()} == {
        server.name: names for server in SETUPS
    }


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_releases_have_everything(package: Package) -> None:
    stored = STORED_RELEASES[package.name]
    assert list(stored["releases"]) == package.releases
    assert package.releases[-1] == pinned()[package.name]
    names = [EXTENSION, *(scenario.name for scenario in CHOSEN)]
    for server, first in package.servers.items():
        assert list(stored["servers"][server]) == names
        assert {next(iter(changes)) for changes in stored["servers"][server].values()} == {first}
