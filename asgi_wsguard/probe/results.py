"""The results of the scenarios on each server, bare and guarded: as objects, and as JSON.

Version 1 of the JSON, where everything is there always:

    {
     "version": 1,
     "date": "2026-11-23",                        the day it was measured
     "python": "3.13.0",
     "scenarios": {
      "returns": {"clause": "H1", "title": "returns at once"}, ...
     },
     "servers": {
      "uvicorn-sansio": {
       "versions": {"uvicorn": "0.54.0", "websockets": "17.4"},
       "results": {
        "returns": {"bare": {...}, "guarded": {...}}, ...
       }
      }, ...
     }
    }

Each of `bare` and `guarded` is ``{"client": "500", "seconds": 0.01, "left": "", "faults": []}``: what the client got,
for how long it waited, what stayed behind in the server, and where that is not the contract.
"""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from asgi_wsguard.probe.play import Result, describe
from asgi_wsguard.probe.scenarios import SCENARIOS

VERSION = 1


@dataclass(frozen=True)
class Cell:
    """The result of one scenario on one server."""

    client: str
    """What the client got, in a few words."""
    seconds: float
    """For how long it waited."""
    left: str
    """What stayed behind in the server: ``"app"``, or ``"2 tasks"``. It may be ``"dead"`` itself; empty: nothing."""
    faults: tuple[str, ...] = ()
    """Where the contract did not hold."""

    @property
    def holds(self) -> bool:
        """Whether the contract held."""
        return not self.faults


@dataclass(frozen=True)
class Pair:
    """The results of a scenario without the guard and with it."""

    bare: Cell
    guarded: Cell


@dataclass(frozen=True)
class Played:
    """The results of the scenarios on one server."""

    versions: Mapping[str, str]
    """Of the packages that make the server."""
    results: Mapping[str, Pair]
    """By the name of the scenario."""


@dataclass(frozen=True)
class Results:
    """The results of the scenarios on all servers."""

    servers: Mapping[str, Played]
    """By the name of the server."""
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())
    python: str = field(default_factory=platform.python_version)


def cell(result: Result) -> Cell:
    """Return what is told of a result."""
    return Cell(describe(result.seen), round(result.seen.seconds, 2), _left(result.left), tuple(result.faults))


def _left(left: Mapping[str, Any]) -> str:
    if not left:
        return "dead"
    if left["running"]:
        return "app"
    number = len(left["tasks"])
    return f"{number} task{'s' * (number > 1)}" if number else ""


def to_json(results: Results) -> str:
    """Write the results down, with a line for each scenario on each server."""
    servers = {
        name: {
            "versions": played.versions,
            "results": {scenario: asdict(pair) for scenario, pair in played.results.items()},
        }
        for name, played in results.servers.items()
    }
    scenarios = {scenario.name: {"clause": scenario.clause, "title": scenario.title} for scenario in SCENARIOS}
    head = {"version": VERSION, "date": results.date, "python": results.python}
    return f"{_indented({**head, 'scenarios': scenarios, 'servers': servers})}\n"


_DEPTH = 4
"""What is deeper stays on its line."""


def _indented(value: Any, depth: int = 0) -> str:
    if depth == _DEPTH or not isinstance(value, dict) or not any(isinstance(inner, dict) for inner in value.values()):
        return json.dumps(value)
    lines = (f"{' ' * (depth + 1)}{json.dumps(key)}: {_indented(inner, depth + 1)}" for key, inner in value.items())
    return "{{\n{}\n{}}}".format(",\n".join(lines), " " * depth)


def from_json(text: str) -> Results:
    """Read what `to_json` has written.

    Raises:
        ValueError: it is of another version, or no JSON.
    """
    read = json.loads(text)
    if read["version"] != VERSION:
        raise ValueError(f"these results are of version {read['version']}, not {VERSION}")
    servers = {
        name: Played(
            played["versions"],
            {
                scenario: Pair(_cell(**pair["bare"]), _cell(**pair["guarded"]))
                for scenario, pair in played["results"].items()
            },
        )
        for name, played in read["servers"].items()
    }
    return Results(servers, read["date"], read["python"])


def _cell(faults: Iterable[str], **rest: Any) -> Cell:
    return Cell(faults=tuple(faults), **rest)
