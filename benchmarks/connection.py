"""Connection in memory: scope to end. Ratio: the guard's added time ÷ uvicorn's own for a handshake and close."""

from __future__ import annotations

import asyncio
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from benchmarks.inmemory import ACCEPT, CONNECT, DISCONNECT, WEBSOCKET, least, least_of_groups, receiving, send
from benchmarks.middlewares import GUARDS, MIDDLEWARES, SERVED
from benchmarks.report import Row, duration, quotient

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 0.045


async def client_closes(scope, receive, send):
    await receive()
    await send(ACCEPT)
    await receive()


async def app_closes(scope, receive, send):
    await receive()
    await send(ACCEPT)
    await send({"type": "websocket.close", "code": 1000})


async def app_returns(scope, receive, send):
    await receive()
    await send(ACCEPT)


def rows(rounds: int = 300, connections: int = 50, handshakes: int = 500) -> Iterator[Row]:
    uvicorn = uvicorn_connection(rounds // 10 or 1, handshakes) if SERVED else None
    if uvicorn:
        yield Row("uvicorn: handshake and close", duration(uvicorn))
    for app in (client_closes, app_closes, app_returns):
        runs = {name: partial(run, wrap(app), connections) for name, wrap in MIDDLEWARES.items()}
        times = least_of_groups(runs, rounds)
        for name, time in times.items():
            ratio = quotient(time - times["none"], uvicorn)
            what = f"{app.__name__.replace('_', ' ')}: {name}"
            yield Row(what, duration(time), ratio, TARGET if name in GUARDS else None)


async def seconds_per_connection(app, connections: int) -> float:
    started = perf_counter()
    for _ in range(connections):
        await app(dict(WEBSOCKET), receiving([CONNECT, DISCONNECT]), send)
    return (perf_counter() - started) / connections


def run(app, connections: int) -> float:
    return asyncio.run(seconds_per_connection(app, connections))


def uvicorn_connection(rounds: int, handshakes: int) -> float:
    from benchmarks.uvicorn import Server

    with Server() as server:
        return least({"none": partial(server.cpu_per_handshake, "/none", handshakes)}, rounds)["none"]
