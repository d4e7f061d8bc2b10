"""Serve the misbehaving apps with a real uvicorn, bare and guarded, and show what becomes of their clients.

Run it with ``python -m asgi_wsguard.probe.demo``. The exit status is 0 if the contract held for every guarded app.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track

from asgi_wsguard.probe.play import Result, play
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import Server, running
from asgi_wsguard.probe.table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_wsguard.probe.model import Scenario

UVICORN = Server("uvicorn", "-m uvicorn --port {port} {app}")

WIDTH = 110
"""Of the table, where the output goes into a file."""


def main(scenarios: Sequence[Scenario] = SCENARIOS, console: Console | None = None) -> int:
    """Play the scenarios, print the table, and return the exit status."""
    console = console or Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print("Two uvicorns serve the same misbehaving apps, one without the guard and one with it.")
    with running(UVICORN) as bare, running(UVICORN) as guarded:
        pairs = [
            (play(bare, scenario, guarded=False, patience=1.0), play(guarded, scenario))
            for scenario in track(scenarios, "Playing", console=console, transient=True)
        ]
    console.print(table(pairs))
    broken = [result for _, result in pairs if result.faults]
    for result in broken:
        console.print(f"{result.scenario.clause} {result.scenario.name}: {'; '.join(result.faults)}", style="red")
    _sum_up(console, pairs)
    return 1 if broken else 0


def _sum_up(console: Console, pairs: Sequence[tuple[Result, Result]]) -> None:
    bare = sum(not result.faults for result, _ in pairs)
    guarded = sum(not result.faults for _, result in pairs)
    console.print(f"The contract held in {bare} of {len(pairs)} without the guard, in {guarded} with it.")


if __name__ == "__main__":
    sys.exit(main())
