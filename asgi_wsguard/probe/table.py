"""The tables of results: for each scenario, what the client got without the guard and with it, and on which servers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from asgi_wsguard.probe.model import Scenario
from asgi_wsguard.probe.results import Cell, Pair, Results

WRONG = "✗"
"""Marks a result that breaks the contract."""

LONG = 0.5
"""Seconds. Shorter waits are not shown."""

BARE, GUARDED = "without", "guarded"


class Grid(NamedTuple):
    """A table of plain text."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self) -> Table:
        """Return it in colours, for the terminal."""
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for column in self.head:
            table.add_column(column, overflow="fold")
        for row in self.rows:
            table.add_row(*(Text(text, _style(column, text)) for column, text in zip(self.head, row)))
        return table

    def markdown(self) -> str:
        """Return it as Markdown."""
        return "".join(f"| {' | '.join(row)} |\n" for row in (self.head, ["---"] * len(self.head), *self.rows))


def _style(column: str, text: str) -> str:
    if column not in (BARE, GUARDED):
        return ""
    return "red" if text.startswith(WRONG) else "green"


LEGEND = Grid(
    ("cell", "what it means"),
    (
        ("500, 403, …", "the handshake was denied with that status; cut: the response broke off inside its body"),
        ("close 1000, …", "the websocket was open, and closed with that code; 1006: it ended without a close"),
        ("nothing", "no answer came (or after 101, which opens the websocket, no end), and the client gave up"),
        ("no response", "the connection ended without an answer"),
        ("an illegal answer", "browsers refuse it"),
        ("(it left)", "the client itself left"),
        ("(1.5 s)", "the client waited for that long"),
        ("left: …", "what stayed behind in the server: the app, or tasks; dead: the server itself ended"),
        (WRONG, "the contract did not hold"),
    ),
)


def summary(results: Results) -> Grid:
    """Return the number of scenarios in which the contract held on each server."""
    rows = []
    for name, server in results.servers.items():
        held = _held(server.results.values())
        counts = [f"{'' if all(holds) else f'{WRONG} '}{sum(holds)} of {len(holds)}" for holds in held]
        rows.append((name, *counts, ", ".join(f"{package} {release}" for package, release in server.versions.items())))
    return Grid(("the contract held on", BARE, GUARDED, "releases"), rows)


def in_all(results: Results) -> Iterator[str]:
    """Yield a line of sums for each server."""
    for name, server in results.servers.items():
        pairs = server.results.values()
        bare, guarded = (f"{sum(holds)} of {len(pairs)}" for holds in _held(pairs))
        yield f"{name}: the contract held in {bare} without the guard, and in {guarded} with it."


def _held(pairs: Collection[Pair]) -> list[list[bool]]:
    return [[pair.bare.holds for pair in pairs], [pair.guarded.holds for pair in pairs]]


def details(results: Results, scenarios: Iterable[Scenario], only_differences: bool = False) -> Grid:
    """Return the result of each scenario.

    Args:
        results: the results of the scenarios.
        scenarios: those to show.
        only_differences: leave out where the guard made no difference.
    """
    head = ["", "an app that …", BARE, GUARDED, "on"]
    rows = [
        [row.scenario.clause if row.first else "", row.scenario.title if row.first else "", *row[2:]]
        for row in grouped(results, scenarios, only_differences)
    ]
    columns = len(head) if len(results.servers) > 1 else len(head) - 1
    return Grid(head[:columns], [row[:columns] for row in rows])


class Row(NamedTuple):
    """A scenario, and the servers with the same result."""

    scenario: Scenario
    first: bool
    """Whether it is the first row of its scenario."""
    bare: str
    guarded: str
    servers: str


def grouped(results: Results, scenarios: Iterable[Scenario], only_differences: bool = False) -> Iterator[Row]:
    """Yield the rows, each with all servers that have the same result."""
    for scenario in scenarios:
        alike: dict[tuple[object, ...], dict[str, Pair]] = {}
        for name, server in results.servers.items():
            pair = server.results.get(scenario.name)
            if pair and not (only_differences and _look(pair.bare) == _look(pair.guarded)):
                kind = (pair.bare.seconds >= LONG, _look(pair.bare), _why(pair), _look(pair.guarded))
                alike.setdefault(kind, {})[name] = pair
        for number, group in enumerate(alike.values()):
            pairs = [*group.values()]
            bare, guarded = [pair.bare for pair in pairs], [pair.guarded for pair in pairs]
            servers = short(group, results.servers)
            yield Row(scenario, number == 0, _text(bare, _why(pairs[0])), _text(guarded), servers)


def _look(cell: Cell) -> tuple[object, ...]:
    return cell.client, cell.left, cell.holds


def _why(pair: Pair) -> str:
    """Return what is wrong without the guard, if the result looks the same with it."""
    same = (pair.bare.client, pair.bare.left) == (pair.guarded.client, pair.guarded.left)
    return pair.bare.faults[0].partition(", not ")[0] if same and pair.bare.faults else ""


def _text(cells: Sequence[Cell], why: str = "") -> str:
    cell = max(cells, key=lambda one: one.seconds)
    waited = f" ({cell.seconds:.1f} s)" if cell.seconds >= LONG else ""
    left = f"left: {cell.left}" if cell.left else ""
    text = "; ".join(filter(None, [cell.client + waited, left, why]))
    return text if cell.holds else f"{WRONG} {text}"


def short(names: Iterable[str], every: Iterable[str]) -> str:
    """Return the servers' names, where ``uvicorn-*`` means all that begin so."""
    names, every = set(names), [*every]
    if len(names) == len(every) > 1:
        return "all"
    short = {}
    for name in (one for one in every if one in names):
        family = name.partition("-")[0]
        members = {one for one in every if one.partition("-")[0] == family}
        short[f"{family}-*" if len(members) > 1 and members <= names else name] = True
    return ", ".join(short)
