"""HTTP request in memory. Ratio: Python calls added, of which one is the target."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.inmemory import HTTP, least_of_groups, receiving, send
from benchmarks.middlewares import GUARDS, MIDDLEWARES
from benchmarks.report import Row, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 1
REQUEST = {"type": "http.request", "body": b"", "more_body": False}


async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


def rows(rounds: int = 300, requests: int = 200) -> Iterator[Row]:
    times = least_of_groups({name: partial(one_run, wrap(app), requests) for name, wrap in MIDDLEWARES.items()}, rounds)
    calls = {name: calls_per_request(wrap(app)) for name, wrap in MIDDLEWARES.items()}
    for name, time in times.items():
        yield Row(name, duration(time), calls[name] - calls["none"], TARGET if name in GUARDS else None)


async def request(app) -> None:
    await app(dict(HTTP), receiving([REQUEST]), send)


def one_run(app, requests: int) -> float:
    """Return the seconds that one request takes."""

    async def run() -> float:
        started = perf_counter()
        for _ in range(requests):
            await request(app)
        return (perf_counter() - started) / requests

    return asyncio.run(run())


def calls_per_request(app) -> int:
    """Return the number of Python functions entered."""
    calls = 0

    def count(frame, event, argument) -> None:
        nonlocal calls
        calls += event == "call"

    async def run() -> None:
        await request(app)  # the first one may do more
        sys.setprofile(count)
        await request(app)
        sys.setprofile(None)

    asyncio.run(run())
    return calls
