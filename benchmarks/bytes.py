"""The bytes of an idle connection by type of object: what the guard adds to those without it."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from pathlib import Path
from types import CoroutineType

from benchmarks.inmemory import idle_connections


def by_type(app, connections: int, idle: float) -> Counter[str]:
    """Return the bytes that one open connection has in objects of each type, with the collector's header of each."""

    async def run() -> Counter[str]:
        async with idle_connections(app, 10):  # allocate what only the first do
            before = {id(found) for found in existing()}
            async with idle_connections(app, connections):
                await asyncio.sleep(idle)
                sizes: Counter[str] = Counter()
                for found in existing():
                    if id(found) not in before:
                        sizes[type_of(found)] += sys.getsizeof(found)
                return Counter({kind: round(size / connections) for kind, size in sizes.items()})

    return asyncio.run(run())


def added(app, bare, connections: int, idle: float) -> Counter[str]:
    """Return what the first adds to the second for one connection."""
    more = by_type(app, connections, idle)
    more.subtract(by_type(bare, connections, idle))
    return more


def existing() -> list[object]:
    """Return all objects, also those that the collector does not track, such as numbers and text, each once."""
    gc.collect()
    tracked = gc.get_objects()
    own = id(tracked)
    every = {id(one): one for one in tracked}
    every.update({id(one): one for one in gc.get_referents(*tracked)})
    return [one for key, one in every.items() if key != own]


def type_of(found: object) -> str:
    kind = type(found)
    if kind is CoroutineType:
        return f"coroutine {Path(found.cr_code.co_filename).stem}.{found.__name__}"
    return f"{kind.__module__.rpartition('.')[2]}.{kind.__qualname__}".removeprefix("builtins.")
