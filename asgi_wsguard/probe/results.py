"""The results of the scenarios on each server, bare and guarded: as objects, and as JSON.

Version 1 of the JSON, in which every key is always there:

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
how long it waited, what stayed behind in the server, and the deviations from the contract.
"""

from __future__ import annotations

import datetime
import json
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from asgi_wsguard.probe.judge import Result, describe
from asgi_wsguard.probe.scenarios import SCENARIOS

VERSION = 1


@dataclass(frozen=True)
class Cell:
    """The result of one scenario on one server."""

    client: str
    """What the client got, in a few words."""
    seconds: float
    """How long it waited."""
    left: str
    """What stayed behind in the server: ``"app"``, ``"2 tasks"``, or nothing; ``"dead"`` if the server itself ended."""
    faults: tuple[str, ...] = ()
    """The deviations from the contract."""

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
class ServerResults:
    """The results of the scenarios on one server."""

    versions: Mapping[str, str]
    """The versions of the server's packages."""
    results: Mapping[str, Pair]
    """The results, by the name of the scenario."""


@dataclass(frozen=True)
class Results:
    """The results of the scenarios on all servers."""

    servers: Mapping[str, ServerResults]
    """The results, by the name of the server."""
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())
    python: str = field(default_factory=platform.python_version)


def cell(result: Result) -> Cell:
    """Return the cell for a result."""
    return Cell(describe(result.seen), round(result.seen.seconds, 2), _left(result.left), tuple(result.faults))


def _left(left: Mapping[str, Any]) -> str:
    if not left:
        return "dead"
    if left["running"]:
        return "app"
    number = len(left["tasks"])
    return f"{number} task{'s' * (number > 1)}" if number else ""


def to_json(results: Results) -> str:
    """Return the results as JSON, with a line for each scenario on each server."""
    servers = {
        name: {
            "versions": server.versions,
            "results": {scenario: asdict(pair) for scenario, pair in server.results.items()},
        }
        for name, server in results.servers.items()
    }
    scenarios = {scenario.name: {"clause": scenario.clause, "title": scenario.title} for scenario in SCENARIOS}
    head = {"version": VERSION, "date": results.date, "python": results.python}
    return f"{_indented({**head, 'scenarios': scenarios, 'servers': servers})}\n"


_DEPTH = 4
"""The depth down to which lines are broken."""


def _indented(value: Any, depth: int = 0) -> str:
    if depth == _DEPTH or not isinstance(value, dict) or not any(isinstance(inner, dict) for inner in value.values()):
        return json.dumps(value)
    lines = (f"{' ' * (depth + 1)}{json.dumps(key)}: {_indented(inner, depth + 1)}" for key, inner in value.items())
    return "{{\n{}\n{}}}".format(",\n".join(lines), " " * depth)


def from_json(text: str) -> Results:
    """Return the results in a text that `to_json` has written.

    Raises:
        ValueError: the text is of another version, or not JSON.
    """
    read = json.loads(text)
    if read["version"] != VERSION:
        raise ValueError(f"these results are of version {read['version']}, not {VERSION}")
    servers = {
        name: ServerResults(
            server["versions"],
            {
                scenario: Pair(_cell(**pair["bare"]), _cell(**pair["guarded"]))
                for scenario, pair in server["results"].items()
            },
        )
        for name, server in read["servers"].items()
    }
    return Results(servers, read["date"], read["python"])


def _cell(faults: Iterable[str], **rest: Any) -> Cell:
    return Cell(faults=tuple(faults), **rest)
