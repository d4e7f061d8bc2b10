"""The stored results: those of the newest releases in the package, for `explain`, and those of the others in the docs.

`asgi_wsguard.probe.newest` explains what a cell is.
"""

from __future__ import annotations

import datetime
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from asgi_wsguard.probe.newest import EITHER

RELEASES = Path(__file__).parents[1] / "docs" / "releases.json"
"""The date, and for each package its releases, [date, Python, libraries], and for each server and scenario the cells,
[bare, guarded], of the releases in which they differ from the one before."""
EXTENSION = "extension"
"""Among the scenarios: whether the server has the `websocket.http.response` extension."""

_TASKS = re.compile("(; |, )tasks stay$")


def together(cells: Mapping[str, list[str]], again: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the cells of what ran twice."""
    return {name: [either(both) for both in zip(cells[name], others)] for name, others in again.items()}


def either(cells: Iterable[str]) -> str:
    """Return the cell of several runs. Tasks that stay only sometimes are about to end."""
    found = {one for cell in cells for one in outcomes(cell)}
    return EITHER.join(sorted(one for one in found if _TASKS.sub("", one) not in found - {one}))


def outcomes(cell: str) -> list[str]:
    """Return the outcomes in a cell, which may be of several runs."""
    return cell.split(EITHER)


def changes(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of the releases, oldest first, that differ from the one before."""
    kept: dict[str, Any] = {}
    last = None
    for version, cell in cells.items():
        if cell != last:
            kept[version] = last = cell
    return kept


def spread(changes: Mapping[str, Any], versions: Iterable[str]) -> dict[str, Any]:
    """Return the cell of each release from the first that has one; the reverse of `changes`."""
    cells: dict[str, Any] = {}
    cell = None
    for version in versions:
        cell = changes.get(version, cell)
        if cell is not None:
            cells[version] = cell
    return cells


def by_release(server: Mapping[str, Mapping[str, Any]], versions: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the cells of each release of a server, from what is stored."""
    rows = {what: spread(changes, versions) for what, changes in server.items()}
    return {version: {what: row[version] for what, row in rows.items()} for version in rows[EXTENSION]}


def older() -> dict[str, Any]:
    """Return the stored results of the releases."""
    stored: dict[str, Any] = json.loads(RELEASES.read_text(encoding="utf-8"))
    return stored


def save(file: Path, value: Mapping[str, Any], depth: int) -> None:
    """Write the value with today's date, with a line for each item down to this depth."""
    dated = {"date": datetime.date.today().isoformat(), **value}
    file.write_text(_lines(dated, depth) + "\n", encoding="utf-8")


def _lines(value: Any, depth: int, indent: str = "\n") -> str:
    if not depth or not isinstance(value, dict):
        return json.dumps(value)
    inner = f"{indent} "
    lines = (f"{json.dumps(name)}: {_lines(one, depth - 1, inner)}" for name, one in value.items())
    return f"{{{inner}{f',{inner}'.join(lines)}{indent}}}"
