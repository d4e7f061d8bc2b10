"""The command `explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import click
from rich.table import Table
from rich.text import Text

from asgi_wsguard.cli.names import every_clause, one_of
from asgi_wsguard.cli.terminal import terminal
from asgi_wsguard.contract import CLAUSES, SECTIONS, Clause
from asgi_wsguard.probe.model import Scenario
from asgi_wsguard.probe.newest import BUT, holds, newest
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.table import BARE, WRONG, Grid, short


@click.command()
@click.argument("clause", required=False)
def explain(clause: str | None) -> None:
    """Explain a CLAUSE of the contract (such as H4), its reason, and what servers do without the guard.

    The signature of a log line, such as wsguard-H4, works as well. Without a CLAUSE, list all clauses.
    """
    console = terminal()
    if clause is None:
        for one in CLAUSES.values():
            console.print(Text(f"{one.id:4} {one.app}"), no_wrap=True, overflow="ellipsis")
        return
    chosen = CLAUSES[one_of("clause", clause.removeprefix("wsguard-"), CLAUSES, every_clause())]
    console.print(Text(f"{chosen.id}: {SECTIONS[chosen.id[0]].lower()}\n", "bold"))
    console.print(_promise(chosen))
    for part in _without(chosen):
        console.print()
        console.print(part)


def _promise(clause: Clause) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    subject = {"D": "the connection", "E": "the promise"}.get(clause.id[0], "the app")
    texts = {subject: clause.app, "the client gets": clause.client, "the app sees": clause.sees, "why": clause.why}
    for title, text in texts.items():
        if text:
            table.add_row(Text(title, "dim"), Text(text))
    return table


def _without(clause: Clause) -> Iterator[str | Table]:
    scenarios = [scenario for scenario in SCENARIOS if scenario.clause == clause.id]
    if not scenarios:
        yield "No scenario of the probe tests this clause alone."
        return
    seen = newest()
    releases = ", ".join(f"{name} {release}" for name, release in seen["versions"].items())
    yield f"Without the guard, measured on {seen['date']} with Python {seen['python']}, {releases}:"
    rows = [row for scenario in scenarios for row in _rows(scenario, seen["servers"])]
    yield Grid(("scenario", "an app that …", BARE, "on"), rows).rich()


def _rows(scenario: Scenario, servers: Mapping[str, Mapping[str, Sequence[str]]]) -> Iterator[tuple[str, ...]]:
    """Yield each result without the guard, and the servers that have it."""
    alike: dict[str, list[str]] = {}
    for name, cells in servers.items():
        alike.setdefault(cells[scenario.name][0], []).append(name)
    first = scenario.name, scenario.title
    for cell, names in alike.items():
        shown = cell if holds(cell) else f"{WRONG} {cell}".replace(f"{BUT}wrong", "")
        yield (*first, shown, short(names, servers))
        first = "", ""
