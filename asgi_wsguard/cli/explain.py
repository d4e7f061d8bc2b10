"""Explain a clause of the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from asgi_wsguard.cli.names import every_clause, one_of
from asgi_wsguard.cli.terminal import terminal
from asgi_wsguard.contract import CLAUSES, SECTIONS, Clause
from asgi_wsguard.probe import results
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.table import BARE, Grid, grouped

SEEN = Path(results.__file__).with_name("seen.json")
"""What `probe --json` wrote, with the newest release of each server."""


@click.command()
@click.argument("clause", required=False)
def explain(clause: str | None) -> None:
    """Say what a CLAUSE of the contract (such as H4) is, why, and what servers do without the guard.

    The signature of a log line, such as wsguard-H4, will do. Without a CLAUSE, list all of them.
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
    subject = {"D": "the connection", "E": "what holds"}.get(clause.id[0], "the app")
    texts = {subject: clause.app, "the client gets": clause.client, "the app sees": clause.sees, "why": clause.why}
    for title, text in texts.items():
        if text:
            table.add_row(Text(title, "dim"), Text(text))
    return table


def _without(clause: Clause) -> Iterator[str | Table]:
    seen = results.from_json(SEEN.read_text(encoding="utf-8"))
    scenarios = [scenario for scenario in SCENARIOS if scenario.clause == clause.id]
    if not scenarios:
        yield "No scenario of the probe is about this clause alone."
        return
    releases = {f"{name} {release}": 0 for played in seen.servers.values() for name, release in played.versions.items()}
    yield f"Without the guard, measured on {seen.date} with Python {seen.python}, {', '.join(releases)}:"
    rows = [
        (row.scenario.name * row.first, row.scenario.title * row.first, row.bare, row.servers)
        for row in grouped(seen, scenarios, only_bare=True)
    ]
    yield Grid(("scenario", "an app that …", BARE, "on"), rows).rich()
