"""The tests stay readable: no test imports another, and none is longer than a person reads."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
FILES = sorted(TESTS.rglob("*.py"))
MOST_LINES = 600


def imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module or ''}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(TESTS)))
def test_a_file_of_tests(file: Path) -> None:
    source = file.read_text(encoding="utf-8")
    assert source.count("\n") <= MOST_LINES
    tests = {other.stem for other in FILES if other.stem.startswith("test_")}
    assert [name for name in imported(source) if tests & set(name.split("."))] == []
