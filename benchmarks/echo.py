"""Echo in memory: one receive and one send through each middleware. Ratio: time added ÷ what the empty pair adds."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import chain, repeat
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.inmemory import ACCEPT, CONNECT, DISCONNECT, WEBSOCKET, least_of_groups, receiving, send
from benchmarks.middlewares import MIDDLEWARES
from benchmarks.report import Row, duration, quotient

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = {"guard": 2.0, "deadlines": 2.8}
# As Starlette and Channels send them, and as Litestar does.
KINDS = {
    "text": {"text": "x" * 20},
    "bytes": {"bytes": b"x" * 20},
    "text, bytes None": {"bytes": None, "text": "x" * 20},
}


def rows(rounds: int = 300, echoes: int = 500) -> Iterator[Row]:
    for kind, payload in KINDS.items():
        runs = {name: partial(one_run, wrap, payload, echoes) for name, wrap in MIDDLEWARES.items()}
        times = least_of_groups(runs, rounds)
        for name, time in times.items():
            ratio = quotient(time - times["none"], times["pair"] - times["none"])
            yield Row(f"{kind}: {name}", duration(time), ratio, TARGETS.get(name))


def one_run(wrap, payload, echoes: int) -> float:
    """Return the seconds that one echo takes."""
    took = 0.0
    data = {"type": "websocket.send", **payload}

    async def app(scope, receive, send):
        nonlocal took
        await receive()
        await send(ACCEPT)
        started = perf_counter()
        for _ in range(echoes):
            await receive()
            await send(data)
        took = perf_counter() - started
        await receive()

    # Each middleware runs its own copy of the code, because the interpreter specializes each call for what it calls.
    app.__code__ = app.__code__.replace()
    messages = chain([CONNECT], repeat({"type": "websocket.receive", **payload}, echoes), [DISCONNECT])
    asyncio.run(wrap(app)(dict(WEBSOCKET), receiving(messages), send))
    return took / echoes
