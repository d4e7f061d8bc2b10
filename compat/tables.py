"""The stored results, as tables for the docs and the README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from asgi_wsguard.probe.newest import BUT, holds, newest
from asgi_wsguard.probe.scenarios import EVERYDAY, SCENARIOS
from compat.stored import EXTENSION, older, outcomes, spread

RIGHT = "✓"

WORDS = {
    "nothing": "hangs",
    "101, then nothing": "open, and hangs",
    "no response": "cut off",
    "an illegal answer": "illegal",
    "(it left)": "",
    "wrong": "",
    "the app is told otherwise": "the app is misinformed",
}
"""The stored words that are shown in other words, or not at all."""

README_MARKS = ("<!-- compat -->\n", "<!-- /compat -->")
"""The marks around the table in the README, which no hook fills."""

README_SERVERS = {
    "uvicorn": "uvicorn-sansio",
    "hypercorn": "hypercorn-asyncio",
    "daphne": "daphne",
    "granian": "granian",
    "gunicorn `asgi`": "gunicorn-asgi",
}

_TITLES = {one.name: f"{one.clause} {one.title}" for one in SCENARIOS}
_TITLES[EXTENSION] = "*(can send a response, and not only 403)*"


def newest_part(part: str) -> str:
    """Return the results of the newest releases for the clauses of this letter."""
    servers = newest()["servers"]
    named = [one for one in SCENARIOS if one.clause.startswith(part)]
    rows = [[_TITLES[one.name], *(bare_to_guarded(*cells[one.name]) for cells in servers.values())] for one in named]
    return _table(["the app", *servers], rows)


def improved(server: str) -> str:
    """Return what the guard changes on the newest release of a server, with a row for each result."""
    rows: dict[tuple[str, str], list[str]] = {}
    cells = newest()["servers"][server]
    for one in SCENARIOS:
        bare, guarded = cells[one.name]
        if not holds(bare):
            rows.setdefault((_shown(bare), _shown(guarded)), []).append(_TITLES[one.name])
    return _table(
        ["the app", "without the guard", "with it"], [["<br>".join(apps), *got] for got, apps in rows.items()]
    )


def newest_counts() -> str:
    """Return how often the contract holds in the newest releases."""
    servers = newest()["servers"]
    rows = [
        [kind, *(f"{sum(holds(both[at]) for both in cells.values())} of {len(cells)}" for cells in servers.values())]
        for at, kind in enumerate(("bare", "guarded"))
    ]
    return _table(["the contract holds", *servers], rows)


def newest_seen() -> str:
    """Return when, and on which releases, it was measured."""
    stored = newest()
    versions = ", ".join(f"{name} {version}" for name, version in stored["versions"].items())
    return f"{stored['date']}, with {versions}, on CPython {stored['python']}"


def readme() -> str:
    """Return the table of the README."""
    servers = newest()["servers"]
    shown = [servers[name] for name in README_SERVERS.values()]
    titles = {one.name: one.title for one in SCENARIOS}
    rows = [
        [titles[name], *(_shown(cells[name][0]) for cells in shown), _shown(shown[0][name][1])] for name in EVERYDAY
    ]
    return _table(["your app", *README_SERVERS, "with the guard"], rows)


def with_table(page: str) -> str:
    """Return the README with the current table."""
    start, end = README_MARKS
    before, _, rest = page.partition(start)
    return f"{before}{start}{readme()}\n{end}{rest.partition(end)[2]}"


def since() -> str:
    """Return since which release each server is right on its own."""
    servers = [
        (name, {what: spread(changes, package["releases"]) for what, changes in by_scenario.items()})
        for package in _packages()
        for name, by_scenario in package["servers"].items()
    ]
    head = ["the app", *(f"{name} {next(iter(by_scenario[EXTENSION]))}" for name, by_scenario in servers)]
    rows = [[_TITLES[what], *(since_when(by_scenario[what]) for _, by_scenario in servers)] for what in servers[0][1]]
    return _table(head, rows)


def counts() -> str:
    """Return how often the contract holds in each release, with a row for each result."""
    rows = []
    for package in _packages():
        for name, by_scenario in package["servers"].items():
            cells = [spread(changes, package["releases"]) for what, changes in by_scenario.items() if what != EXTENSION]
            held = {version: [sum(holds(cell[version][at]) for cell in cells) for at in (0, 1)] for version in cells[0]}
            rows += [
                [name, releases, *(f"{count} of {len(cells)}" for count in both)] for releases, both in _runs(held)
            ]
    return _table(["server", "releases", "bare", "guarded"], rows)


def failures() -> str:
    """Return where the contract does not hold even with the guard, with a row for each result."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for package in _packages():
        for name, by_scenario in package["servers"].items():
            for what, changes in by_scenario.items():
                cells = spread(changes, package["releases"])
                guarded = {} if what == EXTENSION else {version: cell for version, (_, cell) in cells.items()}
                for versions, cell in _runs(guarded):
                    if not holds(cell):
                        rows.setdefault((name, versions, _shown(cell)), []).append(_TITLES[what])
    lines = [[name, versions, "<br>".join(titles), shown] for (name, versions, shown), titles in rows.items()]
    return _table(["server", "releases", "the app", "guarded"], lines)


def releases() -> str:
    """Return a table of the releases that were measured, and their environments."""
    rows = [
        [f"{name} {version}", date, python, ", ".join(f"{one} {its}" for one, its in libraries.items())]
        for name, package in older()["packages"].items()
        for version, (date, python, libraries) in package["releases"].items()
    ]
    return _table(["release", "of", "on Python", "with"], rows)


def releases_seen() -> str:
    """Return when they were measured."""
    return str(older()["date"])


def _packages() -> list[dict[str, Any]]:
    return list(older()["packages"].values())


def since_when(cells: Mapping[str, Any]) -> str:
    """Return since when a server is right."""
    right = {version: cell is True or (isinstance(cell, list) and holds(cell[0])) for version, cell in cells.items()}
    runs = [(list(versions), well) for well, versions in groupby(right, key=right.__getitem__)]
    versions, well = runs[-1]
    if len(runs) == 1:
        return "**always**" if well else "never yet"
    return f"**since {versions[0]}**" if well else f"until {runs[-2][0][-1]}"


def _runs(cells: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield runs of releases with the same result, the oldest first."""
    for cell, same in groupby(cells, key=cells.__getitem__):
        versions = list(same)
        yield (versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"), cell


def bare_to_guarded(bare: str, guarded: str) -> str:
    """Return the results without the guard and with it, or a mark if the first is right."""
    if not holds(bare):
        return f"{_shown(bare)} → {_shown(guarded)}"
    return f"{RIGHT} {_shown(bare)}".replace(f"{RIGHT} {RIGHT}", RIGHT)


def _shown(cell: str) -> str:
    return " or ".join(dict.fromkeys(_in_words(one) or RIGHT for one in outcomes(cell)))


def _in_words(one: str) -> str:
    got, _, wrongs = one.partition(BUT)
    words = (WORDS.get(word, word.removeprefix("close ")) for word in (got, *wrongs.split(", ")))
    return ", ".join(filter(None, words))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
