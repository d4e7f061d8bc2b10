"""The newest releases: every scenario on every server of the probe, as pyproject.toml pins them."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection
from concurrent.futures import Executor

import tomllib

from asgi_wsguard.probe.newest import FILE, newest
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import SETUPS
from compat.environments import REPOSITORY, installed
from compat.replay import bare_and_guarded
from compat.stored import save
from compat.tables import with_table


def pinned() -> dict[str, str]:
    """Return the packages that serve, and the versions that are pinned."""
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pins = (requirement.split("==") for requirement in groups["servers"])
    return {name.partition("[")[0]: version for name, version in pins}


def run(pool: Executor, names: Collection[str]) -> None:
    """Run the scenarios on these servers, or on all, and store the results, also in the README.

    Raises:
        RuntimeError: another version is installed than the one that is pinned.
    """
    here = installed(sys.executable)
    versions = pinned()
    others = [f"{name} {here[name]}, not {version}" for name, version in versions.items() if here[name] != version]
    if others:
        raise RuntimeError(f"installed is {', '.join(others)}")
    wanted = [server for server in SETUPS if not names or server.name in names]
    by_server = newest()["servers"] if names else {}
    for server, cells in zip(wanted, pool.map(lambda server: bare_and_guarded(server, SCENARIOS), wanted)):
        print(server.name, file=sys.stderr, flush=True)
        by_server[server.name] = cells
        ordered = {server.name: by_server[server.name] for server in SETUPS if server.name in by_server}
        save(FILE, {"python": platform.python_version(), "versions": versions, "servers": ordered}, depth=3)
    page = REPOSITORY / "README.md"
    page.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
