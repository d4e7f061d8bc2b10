"""Memory of an idle open connection. Ratio: bytes added ÷ the limit, resident memory ÷ bare on uvicorn."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.bytes import added
from benchmarks.inmemory import idle_app, idle_connections
from benchmarks.middlewares import GUARDS, MIDDLEWARES, OURS, SERVED
from benchmarks.report import Row, quotient

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = {"guard": 1536, "deadlines": 2048}
RSS_TARGET = 1.05
# On CPython 3.12 gc.get_objects() lists iterators of futures that are freed, and crashes.
COUNTABLE = sys.version_info[:2] != (3, 12)


def rows(connections: int = 2_000, sockets: int = 10_000) -> Iterator[Row]:
    types = list(by_type(connections)) if COUNTABLE else []  # before others set context variables of their own
    sizes = {name: bytes_per_connection(wrap(idle_app), connections) for name, wrap in MIDDLEWARES.items()}
    for name, size in sizes.items():
        added = (size - sizes["none"]) / LIMITS.get(name, 2048)
        yield Row(name, f"{size:,.0f} B", added, 1 if name in GUARDS else None)
    yield from types
    if SERVED:
        sockets = min(sockets, raise_file_limit() - 100)
        resident = {name: resident_memory(name, sockets) for name in OURS}
        for name, size in resident.items():
            what = f"uvicorn, {sockets:,} open: {name}"
            target = RSS_TARGET if name in GUARDS else None
            yield Row(what, f"{size / 2**20:,.1f} MiB", quotient(size, resident["none"]), target)


def by_type(connections: int) -> Iterator[Row]:
    """Tell what is in these bytes, for each of the guards."""
    tables = [added(OURS[name](idle_app), idle_app, connections) for name in GUARDS]
    yield Row(f"added by {' and '.join(GUARDS)}", " ".join(f"{sum(table.values()):,}" for table in tables) + " B")
    for kind, _ in sum(tables, Counter()).most_common():
        yield Row(f"  {kind}", " ".join(f"{table[kind]:,}" for table in tables) + " B")


def bytes_per_connection(app, connections: int) -> float:
    """Return what the interpreter has allocated for one open connection, its task included."""

    async def run() -> float:
        async with idle_connections(app, 10):  # the first ones allocate more
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            async with idle_connections(app, connections):
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
        return (after - before) / connections

    return asyncio.run(run())


def raise_file_limit() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def resident_memory(name: str, sockets: int) -> int:
    from benchmarks.uvicorn import Server

    with Server() as server:
        clients = [server.connect(f"/{name}") for _ in range(sockets)]
        size = server.usage()["resident"]
        for client in clients:
            client.close()
        return size
