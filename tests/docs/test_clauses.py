"""Each clause of the contract has tests, and `pytest -k O12` finds them: their names, or their files', say which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from asgi_wsguard.contract import CLAUSES
from asgi_wsguard.probe.scenarios import SCENARIOS

CORE = Path(__file__).parent.parent / "core"
# Both are about what the guard leaves alone, which the scenarios cannot show.
NOT_PLAYED = {"H9", "E1", "E5", "E7"}
NAMED = {
    clause.upper()
    for file in CORE.glob("test_*.py")
    for name in re.findall(r"def (test_\w+)", file.read_text(encoding="utf-8"))
    for clause in re.findall(r"(?<=_)([hode]\d+)(?=_)", name + "_")
}


@pytest.mark.parametrize("clause", CLAUSES)
def test_a_clause_has_a_test_in_memory(clause: str) -> None:
    assert clause in NAMED


def test_the_names_name_clauses_that_exist() -> None:
    assert set(CLAUSES) >= NAMED


@pytest.mark.parametrize("clause", [clause for clause in CLAUSES if not clause.startswith("D")])
def test_a_clause_has_a_scenario(clause: str) -> None:
    assert (clause in {scenario.clause for scenario in SCENARIOS}) is (clause not in NOT_PLAYED)
