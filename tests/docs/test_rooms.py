"""The rooms of the package: imports go down only, those for annotations included, and nothing goes in a circle."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter

import pytest

from pictures.rooms import ABOVE, CORE, GRAPH, MODULES, room

LEVEL = {room: level for level, rooms in enumerate(reversed(CORE)) for room in rooms}
# The modules of the connection, from the top down.
CONNECTION = ("guard", "ending", "refusal", "outbox", "inbox", "record", "app_exit", "tracker", "variables")


def test_no_circle() -> None:
    """`graphlib` raises `CycleError`, which names one."""
    # A package names what its modules offer, and they import each other past it.
    TopologicalSorter(GRAPH).prepare()


@pytest.mark.parametrize("module", [module for module in GRAPH if room(module) in LEVEL and module not in ABOVE])
def test_imports_go_down(module: str) -> None:
    for other in GRAPH[module]:
        assert room(other) in LEVEL, f"{module} imports {other}, which is no part of the core"
        assert LEVEL[room(other)] <= LEVEL[room(module)], f"{module} imports {other} from a room above"
        assert other not in ABOVE


@pytest.mark.parametrize("name", CONNECTION)
def test_imports_within_a_connection_go_down(name: str) -> None:
    allowed = {f"asgi_wsguard.connection.{below}" for below in CONNECTION[CONNECTION.index(name) + 1 :]}
    mine = {other for other in GRAPH[f"asgi_wsguard.connection.{name}"] if room(other) == "connection"}
    assert mine <= allowed


def test_the_rules_are_pure() -> None:
    """No await, no clock, no log: they are told the time, and say what is to be done."""
    for module, file in MODULES.items():
        if room(module) == "rules":
            tree = ast.parse(file.read_text(encoding="utf-8"))
            assert not any(isinstance(node, (ast.Await, ast.AsyncFunctionDef)) for node in ast.walk(tree)), module
            names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            assert names.isdisjoint({"time", "asyncio", "anyio", "logging"}), module


def test_no_class_of_the_core_inherits_from_another() -> None:
    core = [file for module, file in MODULES.items() if room(module) in LEVEL and module not in ABOVE]
    nodes = [node for file in core for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    ours = {one.name for one in classes} - {"_Word"}  # an enumeration with a faster hash
    for one in classes:
        assert not [base for base in one.bases if isinstance(base, ast.Name) and base.id in ours], one.name
