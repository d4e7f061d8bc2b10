"""Every part of the benchmarks runs, tiny. What needs a server runs where uvicorn is installed."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import PARTS
from benchmarks.middlewares import OURS, SERVED

pytestmark = pytest.mark.usefixtures("small_heap")  # some look at all objects again and again

TINY = {
    "echo": {"rounds": 1, "echoes": 2},
    "connection": {"rounds": 1, "connections": 2, "handshakes": 2},
    "http": {"rounds": 1, "requests": 2},
    "memory": {"connections": 2, "sockets": 2, "idle": 0},
    "scaling": {"few": 2, "many": 4, "rounds": 1, "connections": 2},
}
if SERVED:
    TINY["uvicorn"] = {"rounds": 1, "echoes": 2}


@pytest.mark.parametrize("part", TINY)
def test_part_runs(part: str) -> None:
    rows = list(PARTS[part].rows(**TINY[part]))
    assert {name for name in OURS if any(row.what.endswith(name) for row in rows)} == set(OURS)
    assert any(row.target for row in rows)


def test_report_runs() -> None:
    rows = list(PARTS["report"].rows(rounds=1, connections=2, messages=2))
    assert len(rows) == 6
    assert [row.ratio for row in rows if row.what.startswith("message")] == [0, 0, 0]


def test_refusal_runs() -> None:
    rows = list(PARTS["refusal"].rows(rounds=1, refusals=2))
    assert {row.target for row in rows} == {1}


def test_drain_runs() -> None:
    rows = list(PARTS["drain"].rows(connections=2, spread=0.01))
    assert {row.what.partition(",")[0] for row in rows} == {"in memory", *(["uvicorn"] if SERVED else [])}
    assert any(row.target for row in rows)
