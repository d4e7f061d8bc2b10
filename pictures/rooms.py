"""Draws the package folders, and which imports which. tests/docs/test_rooms.py has them keep to it.

Each folder, and each module beside them, is a *room*.
"""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import asgi_wsguard
from pictures.drawing import Arrow, Box, Point, figure

HERE = Path(asgi_wsguard.__file__).parent
MODULES = {
    ".".join(("asgi_wsguard", *file.relative_to(HERE).with_suffix("").parts)).removesuffix(".__init__"): file
    for file in HERE.rglob("*.py")
}

# The core, from the top down. A room imports from its own and from those below.
CORE = (
    {"middleware"},
    {"connection"},
    {"options"},
    {"drain", "nesting", "observers"},
    {"report"},
    {"integrations"},
    {"runtime", "arguments"},
    {"rules"},
    {"exceptions"},
)
# What counts what others report, and so stands above them, in the room of those who know other libraries.
ABOVE = {f"asgi_wsguard.integrations.{name}" for name in ("metrics", "opentelemetry", "prometheus")}


def imported(module: str) -> set[str]:
    """Return the modules of ours that it imports at the top, also where it does so for a type checker only."""
    found: set[str] = set()
    file = MODULES[module]
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in inside:
            continue
        parent = package.rsplit(".", node.level - 1)[0] if node.level else ""
        name = ".".join(filter(None, (parent, node.module or "")))
        found |= {f"{name}.{alias.name}" if f"{name}.{alias.name}" in MODULES else name for alias in node.names}
    return found & MODULES.keys() - {module}


GRAPH = {module: imported(module) for module in MODULES}


def room(module: str) -> str:
    """Return the room of a module; the package itself is in none."""
    return module.split(".")[1] if "." in module else ""


COLUMN, LAYER = 118, 66  # how far boxes are apart, from middle to middle
CAPTION = (
    "An arrow leads from a folder or module to what it imports. What follows from other arrows is left out. "
    "middleware.py and what is below it guard an app; metrics is a part of integrations/; the rest is for tests, "
    "commands and demonstrations."
)
METRICS = "metrics"  # in integrations/, and above what the rest of that folder is below

Edges = set[tuple[str, str]]


def edges() -> Edges:
    """Return which room imports which. What asks the package for its public names asks the middleware."""

    def place(module: str) -> str:
        return METRICS if module in ABOVE else room(module) or "middleware"

    found = {(place(one), place(other)) for one, others in GRAPH.items() if room(one) for other in others}
    return {(one, other) for one, other in found if one not in (other, "__main__")}


def _needed(found: Edges) -> Edges:
    """Leave out what follows from the others."""

    def reached(start: str) -> set[str]:
        return {end for one, other in found if one == start for end in (other, *reached(other))}

    return {
        (one, other)
        for one, other in found
        if not any(other in reached(third) for first, third in found if first == one and third != other)
    }


def _layers(drawn: Edges) -> list[list[str]]:
    """Return the rooms from the top down, each as high as those that import it allow."""
    importers: dict[str, set[str]] = {name: set() for edge in sorted(drawn) for name in edge}
    for one, other in drawn:
        importers[other].add(one)
    depth: dict[str, int] = {}
    for name in TopologicalSorter(importers).static_order():
        depth[name] = max((depth[one] + 1 for one in importers[name]), default=0)
    for name in importers:
        if not importers[name]:
            depth[name] = min(depth[other] for one, other in drawn if one == name) - 1
    return [sorted(name for name in depth if depth[name] == level) for level in range(max(depth.values()) + 1)]


def _chains(drawn: Edges, layers: list[list[str]]) -> list[list[str]]:
    """Give an arrow that passes layers a place in each of them, and return the places of each arrow."""
    depth = {name: level for level, names in enumerate(layers) for name in names}
    chains = []
    for one, other in sorted(drawn):
        passed = range(depth[one] + 1, depth[other])
        places = [f"{one} {other} {level}" for level in passed]
        for level, name in zip(passed, places):
            layers[level].append(name)
        chains.append([one, *places, other])
    return chains


def _columns(layers: list[list[str]], chains: list[list[str]]) -> dict[str, float]:
    """Order each layer by its neighbours in the others, from the top down and from the bottom up, until it is still."""
    beside: dict[str, list[str]] = {}
    for chain in chains:
        for one, other in zip(chain, chain[1:]):
            beside.setdefault(one, []).append(other)
            beside.setdefault(other, []).append(one)
    column = {}
    for names in layers:
        column.update({name: number - (len(names) - 1) / 2 for number, name in enumerate(names)})
    for turn in range(24):
        for names in layers if turn % 2 == 0 else reversed(layers):
            wanted = {name: sum(column[one] for one in beside[name]) / len(beside[name]) for name in names}
            names.sort(key=lambda name: (wanted[name], name))
            spread = [wanted[name] - number for number, name in enumerate(names)]
            start = sum(spread) / len(spread)
            column.update({name: start + number for number, name in enumerate(names)})
    return column


def picture() -> str:
    """Draw it."""
    drawn = _needed(edges())
    layers = _layers(drawn)
    chains = _chains(drawn, layers)
    column = _columns(layers, chains)
    left = min(column.values())
    place: dict[str, Point] = {
        name: ((column[name] - left) * COLUMN + 70, level * LAYER + 24)
        for level, names in enumerate(layers)
        for name in names
    }
    boxes = {name: Box(*place[name], _shown(name)) for names in layers for name in names if " " not in name}
    arrows = []
    for chain in chains:
        first, *passed, last = chain
        points = [place[name] for name in passed]
        start = boxes[first].border((points or [place[last]])[0])
        end = boxes[last].border((points or [place[first]])[-1])
        arrows.append(Arrow([start, *points, end]))
    width = max(x for x, _ in place.values()) + 70
    height = (len(layers) - 1) * LAYER + 48
    return figure(
        width, height, "The rooms of the package, and which imports which", CAPTION, [*arrows, *boxes.values()]
    )


def _shown(name: str) -> str:
    if name == METRICS:
        return "metrics"
    return f"{name}/" if (HERE / name).is_dir() else f"{name}.py"
