"""What is stored, as tables for the docs and the README."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from asgi_wsguard.probe.newest import BUT, holds, newest
from asgi_wsguard.probe.scenarios import EVERYDAY, SCENARIOS
from compat.stored import EXTENSION, older, plays, spread

RIGHT = "✓"

WORDS = {
    "nothing": "hangs",
    "101, then nothing": "open, and hangs",
    "no response": "cut off",
    "an illegal answer": "illegal",
    "(it left)": "",
    "wrong": "",
}
"""What is said otherwise than it is stored, or not at all."""

README_MARKS = ("<!-- compat -->\n", "<!-- /compat -->")
"""Around the table in the README, which no hook fills."""

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
    """Write down what the newest releases do in the clauses of that letter."""
    servers = newest()["servers"]
    named = [one for one in SCENARIOS if one.clause.startswith(part)]
    rows = [[_TITLES[one.name], *(bare_to_guarded(*cells[one.name]) for cells in servers.values())] for one in named]
    return _table(["the app", *servers], rows)


def mended(server: str) -> str:
    """Write down what the guard changes on the newest release of a server: what comes to the same is one row."""
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
    """Write down how often the contract holds in the newest releases."""
    servers = newest()["servers"]
    rows = [
        [kind, *(f"{sum(holds(both[at]) for both in cells.values())} of {len(cells)}" for cells in servers.values())]
        for at, kind in enumerate(("bare", "guarded"))
    ]
    return _table(["the contract holds", *servers], rows)


def newest_seen() -> str:
    """Tell when and with what it was played."""
    stored = newest()
    versions = ", ".join(f"{name} {version}" for name, version in stored["versions"].items())
    return f"{stored['date']}, with {versions}, on CPython {stored['python']}"


def readme() -> str:
    """Write the table of the README."""
    servers = newest()["servers"]
    shown = [servers[name] for name in README_SERVERS.values()]
    titles = {one.name: one.title for one in SCENARIOS}
    rows = [
        [titles[name], *(_shown(cells[name][0]) for cells in shown), _shown(shown[0][name][1])] for name in EVERYDAY
    ]
    return _table(["your app", *README_SERVERS, "with the guard"], rows)


def with_table(page: str) -> str:
    """Return the README with the table as it is now."""
    start, end = README_MARKS
    before, _, rest = page.partition(start)
    return f"{before}{start}{readme()}\n{end}{rest.partition(end)[2]}"


def since() -> str:
    """Write down since which release each server does it right by itself."""
    servers = [
        (name, {what: spread(changes, package["releases"]) for what, changes in played.items()})
        for package in _packages()
        for name, played in package["servers"].items()
    ]
    head = ["the app", *(f"{name} {next(iter(played[EXTENSION]))}" for name, played in servers)]
    rows = [[_TITLES[what], *(since_when(played[what]) for _, played in servers)] for what in servers[0][1]]
    return _table(head, rows)


def counts() -> str:
    """Write down how often the contract holds in each release: what comes to the same is one row."""
    rows = []
    for package in _packages():
        for name, played in package["servers"].items():
            cells = [spread(changes, package["releases"]) for what, changes in played.items() if what != EXTENSION]
            held = {version: [sum(holds(cell[version][at]) for cell in cells) for at in (0, 1)] for version in cells[0]}
            rows += [
                [name, releases, *(f"{count} of {len(cells)}" for count in both)] for releases, both in _runs(held)
            ]
    return _table(["server", "releases", "bare", "guarded"], rows)


def unmended() -> str:
    """Write down where the contract does not hold with the guard either: what comes to the same is one row."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for package in _packages():
        for name, played in package["servers"].items():
            for what, changes in played.items():
                cells = spread(changes, package["releases"])
                guarded = {} if what == EXTENSION else {version: cell for version, (_, cell) in cells.items()}
                for versions, cell in _runs(guarded):
                    if not holds(cell):
                        rows.setdefault((name, versions, _shown(cell)), []).append(_TITLES[what])
    lines = [[name, versions, "<br>".join(titles), shown] for (name, versions, shown), titles in rows.items()]
    return _table(["server", "releases", "the app", "guarded"], lines)


def releases() -> str:
    """Write down which releases were played, and with what."""
    rows = [
        [f"{name} {version}", date, python, ", ".join(f"{one} {its}" for one, its in libraries.items())]
        for name, package in older()["packages"].items()
        for version, (date, python, libraries) in package["releases"].items()
    ]
    return _table(["release", "of", "on Python", "with"], rows)


def releases_seen() -> str:
    """Tell when they were played."""
    return str(older()["date"])


def _packages() -> list[dict[str, Any]]:
    return list(older()["packages"].values())


def since_when(cells: Mapping[str, Any]) -> str:
    """Say since when it is right."""
    right = {version: cell is True or (isinstance(cell, list) and holds(cell[0])) for version, cell in cells.items()}
    runs = [(list(versions), well) for well, versions in groupby(right, key=right.__getitem__)]
    versions, well = runs[-1]
    if len(runs) == 1:
        return "**always**" if well else "never yet"
    return f"**since {versions[0]}**" if well else f"until {runs[-2][0][-1]}"


def _runs(cells: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the releases, the oldest first, where those side by side are the same."""
    for cell, same in groupby(cells, key=cells.__getitem__):
        versions = list(same)
        yield (versions[0] if len(versions) == 1 else f"{versions[0]} to {versions[-1]}"), cell


def bare_to_guarded(bare: str, guarded: str) -> str:
    """Say what comes of it without the guard and with it, or mark that it is right without."""
    if not holds(bare):
        return f"{_shown(bare)} → {_shown(guarded)}"
    return f"{RIGHT} {_shown(bare)}".replace(f"{RIGHT} {RIGHT}", RIGHT)


def _shown(cell: str) -> str:
    return " or ".join(dict.fromkeys(_in_words(play) or RIGHT for play in plays(cell)))


def _in_words(play: str) -> str:
    got, _, wrongs = play.partition(BUT)
    words = (WORDS.get(word, word.removeprefix("close ")) for word in (got, *wrongs.split(", ")))
    return ", ".join(filter(None, words))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
