"""Many connections in memory. Ratio: one connection's cost with 10,000 open ÷ with 100 open."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.connection import client_closes, seconds_per_connection
from benchmarks.inmemory import idle_app, idle_connections, least
from benchmarks.memory import bytes_per_connection
from benchmarks.middlewares import GUARDS, OURS
from benchmarks.report import Row, duration, quotient

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 1.1


def rows(few: int = 100, many: int = 10_000, rounds: int = 20, connections: int = 50) -> Iterator[Row]:
    for name, wrap in OURS.items():
        target = TARGET if name in GUARDS else None
        runs = {str(n): partial(time_beside, n, wrap, connections) for n in (few, many)}
        beside_few, beside_many = least(runs, rounds).values()
        yield Row(f"time: {name}", duration(beside_many), quotient(beside_many, beside_few), target)
        size_of_few, size_of_many = (bytes_per_connection(wrap(idle_app), n, 0) for n in (few, many))
        yield Row(f"memory: {name}", f"{size_of_many:,.0f} B", quotient(size_of_many, size_of_few), target)


def time_beside(others: int, wrap, connections: int) -> float:
    """Return the seconds that one connection takes, from scope to end, while others are open and idle."""

    async def run() -> float:
        async with idle_connections(wrap(idle_app), others):
            return min([await seconds_per_connection(wrap(client_closes), connections) for _ in range(20)])

    return asyncio.run(run())
