"""Memory of an idle open connection. Ratio: what the guard adds to it, on uvicorn as resident memory, ÷ the limit."""

from __future__ import annotations

import asyncio
import gc
import resource
import sys
import time
import tracemalloc
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.bytes import added
from benchmarks.inmemory import idle_app, idle_connections
from benchmarks.middlewares import GUARDS, MIDDLEWARES, OURS, SERVED
from benchmarks.report import Row

if TYPE_CHECKING:
    from collections.abc import Iterator

# Bytes.
LIMITS = {"guard": 1792, "deadlines": 2304}
# Connections that are open before those that are measured: the first ones load modules, and fill caches.
FIRST = 100
# Seconds after which a connection is idle: the guard has looked at it once.
IDLE = 1.0
# On CPython 3.12 gc.get_objects() lists iterators of futures that are freed, and crashes.
COUNTABLE = sys.version_info[:2] != (3, 12)


def rows(connections: int = 2_000, sockets: int = 10_000, idle: float = IDLE) -> Iterator[Row]:
    types = list(by_type(connections, idle)) if COUNTABLE else []  # before others set context variables of their own
    sizes = {name: bytes_per_connection(wrap(idle_app), connections, idle) for name, wrap in MIDDLEWARES.items()}
    for name, size in sizes.items():
        added = size - sizes["none"]
        limit = LIMITS.get(name)
        yield Row(f"in memory: {name}", f"{added:+,.0f} B", limit and added / limit, limit and 1)
    yield from types
    if SERVED:
        sockets = min(sockets, raise_file_limit() - 2 * FIRST)
        resident = {name: resident_memory(name, sockets, idle) for name in OURS}
        started, each = resident["none"]
        for name, (first, size) in resident.items():
            limit = LIMITS.get(name)
            yield Row(
                f"uvicorn, {sockets:,} open: {name}", f"{size:,.0f} B", limit and (size - each) / limit, limit and 1
            )
            yield Row(f"uvicorn, once: {name}", f"{(first - started) / 2**20:+,.1f} MiB")


def by_type(connections: int, idle: float) -> Iterator[Row]:
    """Tell what is in these bytes, for each of the guards."""
    tables = [added(OURS[name](idle_app), idle_app, connections, idle) for name in GUARDS]
    yield Row(f"added by {' and '.join(GUARDS)}", " ".join(f"{sum(table.values()):,}" for table in tables) + " B")
    for kind, _ in sum(tables, Counter()).most_common():
        yield Row(f"  {kind}", " ".join(f"{table[kind]:,}" for table in tables) + " B")


def bytes_per_connection(app, connections: int, idle: float) -> float:
    """Return what the interpreter has allocated for one open connection, its task included."""

    async def run() -> float:
        async with idle_connections(app, 10):  # the first ones allocate more
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            async with idle_connections(app, connections):
                await asyncio.sleep(idle)
                gc.collect()
                after, _ = tracemalloc.get_traced_memory()
                tracemalloc.stop()
        return (after - before) / connections

    return asyncio.run(run())


def raise_file_limit() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def resident_memory(name: str, sockets: int, idle: float) -> tuple[float, float]:
    """Return the bytes of a server with a few connections, and those that each of many more adds."""
    from benchmarks.uvicorn import Server

    with Server() as server:
        clients = [server.connect(f"/{name}") for _ in range(FIRST)]
        time.sleep(idle)
        first = server.usage()["resident"]
        clients += [server.connect(f"/{name}") for _ in range(sockets)]
        time.sleep(idle)
        size = server.usage()["resident"]
        for client in clients:
            client.close()
    return first, (size - first) / sockets
