"""The page of the docs and the tests here name the same incidents."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "incidents.md"
TESTS = sorted(path for path in HERE.glob("test_*_*.py"))


@pytest.mark.parametrize("test", TESTS, ids=lambda test: test.stem)
def test_each_opens_with_its_issue(test: Path) -> None:
    project, number = test.stem[len("test_") :].rsplit("_", 1)
    docstring = ast.get_docstring(ast.parse(test.read_text(encoding="utf-8"))) or ""
    assert re.match(rf"({project}|{project.replace('_', '-')}) #{number}[:,] ", docstring)


def test_all_are_on_the_page() -> None:
    rows = re.findall(r"^\| \[(.+) #(\d+)\].*\| `(.+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for _, _, name in rows) == [test.name for test in TESTS]
    for project, number, name in rows:
        assert name == f"test_{project.replace('-', '_')}_{number}.py"
