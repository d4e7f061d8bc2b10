"""Show results side by side: what the client saw, how long it waited, and what stayed behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from asgi_wsguard.probe.play import Result, describe

if TYPE_CHECKING:
    from collections.abc import Sequence


def table(pairs: Sequence[tuple[Result, Result]]) -> Table:
    """Return a table of the scenarios, each played bare and guarded."""
    found = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    found.add_column("An app that …", min_width=14)
    found.add_column("")
    for column in ("without", "waited", "left", "guarded", "waited", "left", "contract"):
        found.add_column(column, justify="right" if column == "waited" else "left", no_wrap=True)
    for bare, guarded in pairs:
        scenario = guarded.scenario
        holds = Text("broken", "red") if guarded.faults else Text("holds", "green")
        found.add_row(scenario.title, scenario.clause, *_cells(bare), *_cells(guarded), holds)
    return found


def _cells(result: Result) -> list[Text]:
    style = "red" if result.faults else "green"
    return [Text(describe(result.seen), style), Text(f"{result.seen.seconds:.1f} s"), Text(_left(result))]


def _left(result: Result) -> str:
    if not result.left:
        return "dead"
    app = ["app"] if result.left["running"] else []
    tasks = [f"{len(result.left['tasks'])} tasks"] if result.left["tasks"] else []
    return ", ".join(app + tasks) or "-"
