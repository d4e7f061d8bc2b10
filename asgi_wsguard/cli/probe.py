"""The command `probe`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from asgi_wsguard.cli.names import every_clause, one_of
from asgi_wsguard.cli.servers import asked_for, pip
from asgi_wsguard.cli.terminal import WIDTH, terminal
from asgi_wsguard.contract import CLAUSES
from asgi_wsguard.probe.model import Scenario
from asgi_wsguard.probe.results import Results, to_json
from asgi_wsguard.probe.run import run
from asgi_wsguard.probe.scenarios import EVERYDAY, SCENARIOS
from asgi_wsguard.probe.servers import SERVERS, SETUPS
from asgi_wsguard.probe.table import LEGEND, Grid, details, in_all, summary


def _writable(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Check that the file can be written, before the servers run."""
    if path is not None:
        _write(path, "", mode="a")
    return path


def _write(path: Path, text: str, mode: str = "w") -> None:
    try:
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise click.UsageError(f"cannot write {path}: {error.strerror}") from None


_FILE: dict[str, Any] = {"type": click.Path(path_type=Path), "callback": _writable, "metavar": "FILE"}


@click.command()
@click.option(
    "--server",
    "asked",
    multiple=True,
    metavar="NAME",
    help="A server, such as daphne; uvicorn means all of uvicorn-*. Repeatable.",
)
@click.option(
    "--scenario", "wanted", multiple=True, metavar="NAME", help="A scenario, or a clause such as H4. Repeatable."
)
@click.option(
    "--short", is_flag=True, help="Run only the eight scenarios of the README, and show the sums for each server."
)
@click.option("--only-differences", is_flag=True, help="Show only the rows where the guard makes a difference.")
@click.option("--json", "as_json", help="Write all results as JSON.", **_FILE)
@click.option("--markdown", help="Write the tables as Markdown.", **_FILE)
@click.option("--svg", help="Write the tables as a picture (SVG).", **_FILE)
def probe(
    asked: Sequence[str],
    wanted: Sequence[str],
    short: bool,
    only_differences: bool,
    as_json: Path | None,
    markdown: Path | None,
    svg: Path | None,
) -> int:
    """Run misbehaving apps on every installed server, without the guard and with it.

    The exit status is 1 if a server did not start, or if the contract did not hold with the guard.
    """
    scenarios = _scenarios([*wanted, *(EVERYDAY if short else ())])
    # Over HTTP/3 each scenario needs its own server, which takes long.
    servers = asked_for(asked, SERVERS if short and not asked else SETUPS)
    installed = [server for server in servers if not server.missing()]
    stderr = Console(stderr=True)
    with Progress(console=stderr, transient=True, disable=not stderr.is_terminal) as progress:
        total = 2 * len(installed) * len(scenarios)
        task = progress.add_task(f"{len(scenarios)} scenarios on {len(installed)} servers", total=total)
        results, failed = run(installed, scenarios, lambda: progress.advance(task))
    grids = (summary(results), details(results, scenarios, only_differences), LEGEND)
    console = terminal()
    if short:
        console.print(grids[1].rich())
        for line in in_all(results):
            console.print(line)
    else:
        _show(console, results, grids)
    broken = [*_broken(results), *failed.values()]
    for line in broken:
        console.print(line, style="red")
    for server in servers:
        if server not in installed:
            console.print(f"{server.name} is not installed: {pip([server])}", style="yellow")
    if as_json:
        _write(as_json, to_json(results))
    if markdown:
        _write(markdown, "\n".join([f"{_when(results)}\n", *(grid.markdown() for grid in grids)]))
    if svg:
        _write(svg, _picture(results, grids))
    return 1 if broken else 0


def _scenarios(wanted: Sequence[str]) -> list[Scenario]:
    names = [*(scenario.name for scenario in SCENARIOS), *CLAUSES]
    there_is = f"{every_clause()}, and what `asgi-wsguard explain` names for each"
    chosen = {one_of("scenario", name, names, there_is) for name in wanted}
    for clause in chosen - {scenario.clause for scenario in SCENARIOS}:
        if clause in CLAUSES:
            raise click.UsageError(f"no scenario is about {clause} alone")
    return [scenario for scenario in SCENARIOS if not chosen or chosen & {scenario.name, scenario.clause}]


def _when(results: Results) -> str:
    return f"Measured on {results.date} with Python {results.python}."


def _show(console: Console, results: Results, grids: Sequence[Grid]) -> None:
    for grid in grids:
        console.print(grid.rich())
    console.print(_when(results))


def _picture(results: Results, grids: Sequence[Grid]) -> str:
    console = Console(record=True, file=io.StringIO(), width=WIDTH, force_terminal=True, highlight=False, markup=False)
    _show(console, results, grids)
    return console.export_svg(title="asgi-wsguard probe")


def _broken(results: Results) -> list[str]:
    return [
        f"{scenario} on {name}, guarded: {'; '.join(pair.guarded.faults)}"
        for name, server in results.servers.items()
        for scenario, pair in server.results.items()
        if pair.guarded.faults
    ]
