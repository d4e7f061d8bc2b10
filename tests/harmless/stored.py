"""`python -m harmless.stored [SERVER ...] [APP ...]`: run apps on the real defaults, and store the results."""

from __future__ import annotations

import json
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomllib

from asgi_wsguard.compare.happened import Happened
from harmless.apps import apps
from harmless.compare import differences, faults
from harmless.improvements import improvements
from harmless.model import SCALE
from harmless.play import SERVERS, Played, play

REPOSITORY = Path(__file__).parent.parent.parent
FILE = REPOSITORY / "docs" / "harmless.json"
PAGE = REPOSITORY / "docs" / "harmless.md"
SHOWN = 5

HEAD = """# Working apps, bare and guarded

<!-- Written by scripts/harmless. -->

These apps work without the guard. Each ran bare and behind the guard, with default options, on each server. The test
compares what the client got, what the app did, what was logged at WARNING or above, how long it took and which tasks
were left behind. `=` means no difference. A clause of the [contract](contract.md) stands for an improvement. `✗` marks
a difference that is not one, and after a clause, the price of the improvement. An empty cell means that the server
cannot run the app. `in-process` is not a server: there test clients call the app in their own process.
"""


def stored() -> dict[str, Any]:
    """Return what is written down."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def cell(server: str, app: str, bare: Happened, guarded: Happened) -> dict[str, Any]:
    """Return the differences, each with its clause, or `None` where it is no improvement."""
    named = {one.part: one for one in improvements(server, app)}
    found = {}
    for part, difference in differences(bare, guarded).items():
        one = named.get(part)
        explained = one is not None and one.explains(difference.bare, difference.guarded)
        found[part] = {
            "clause": one.clause if one is not None and explained else None,
            "cost": one is not None and one.cost,
            "bare": _shown(difference.bare),
            "guarded": _shown(difference.guarded),
        }
    return found


def _shown(value: Any) -> Any:
    if isinstance(value, list) and len(value) > SHOWN:
        return [*value[:SHOWN], f"… ({len(value)})"]
    return value


def versions() -> dict[str, str]:
    """Return the releases of the frameworks."""
    groups = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    pins = [pin for group in ("servers", "clients", "harmless") for pin in groups[group]]
    return {name: version(name) for name in sorted({pin.partition("==")[0].partition("[")[0] for pin in pins})}


def page(content: dict[str, Any]) -> str:
    """Return the page of the docs."""
    servers = content["servers"]
    names = sorted({app for cells in servers.values() for app in cells})
    rows = [["app", *servers], ["---"] * (len(servers) + 1)]
    rows += [[app, *(_mark(cells.get(app)) for cells in servers.values())] for app in names]
    return HEAD + "\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def _mark(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    clauses = {f"{one['clause'] or '✗'}{' ✗' if one['cost'] else ''}" for one in found.values()}
    return ", ".join(sorted(clauses)) or "="


def _play(server: str, parts: list[str]) -> Played:
    named = {app.name: app for app in apps() if app.works_on(server)}
    chosen = [app for name, app in named.items() if not parts or any(part in name for part in parts)]
    played = play(SERVERS[server], chosen) if chosen else {}
    for name, pair in [*played.items()]:
        if faults(*pair, improvements(server, name)):  # once more, by itself
            played |= play(SERVERS[server], [named[name]])
    print(server, file=sys.stderr, flush=True)
    return played


def main(names: list[str]) -> int:
    """Run, write down, and return how many differences are no improvements."""
    content = stored() if names else {"servers": {}}
    wanted = [server for server in SERVERS if server in names] or [*SERVERS]
    parts = [name for name in names if name not in SERVERS]
    wrong = 0
    with ThreadPoolExecutor(4) as pool:
        for server, played in zip(wanted, pool.map(_play, wanted, [parts] * len(wanted))):
            cells = {app: cell(server, app, *pair) for app, pair in played.items()}
            kept = content["servers"].get(server, {}) if parts else {}
            content["servers"][server] = dict(sorted({**kept, **cells}.items()))
            for app, found in cells.items():
                for part, difference in found.items():
                    if difference["clause"] is None:
                        wrong += 1
                        print(f"{server}, {app}, {part}: {difference}", file=sys.stderr)
    ordered = {server: content["servers"][server] for server in SERVERS if server in content["servers"]}
    content = {"python": platform.python_version(), "scale": SCALE, "versions": versions(), "servers": ordered}
    FILE.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    PAGE.write_text(page(content), encoding="utf-8")
    return wrong


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
