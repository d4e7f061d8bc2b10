"""The cost of metrics for a connection and a message. Ratio: to the target; for a message, the Python calls added."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain, repeat
from multiprocessing import get_context
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.connection import app_returns, run
from benchmarks.inmemory import ACCEPT, CONNECT, DISCONNECT, WEBSOCKET, least, receiving, send
from benchmarks.middlewares import installed
from benchmarks.report import Row, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGETS = {"Prometheus": 15e-6, "Prometheus multiprocess": 15e-6, "OpenTelemetry": 30e-6}
MESSAGE = {"type": "websocket.receive", "text": "hello"}
REPLY = {"type": "websocket.send", "text": "hello"}


def prometheus():
    from asgi_wsguard.integrations.prometheus import PrometheusMetrics

    return PrometheusMetrics()


def opentelemetry():
    """An SDK that collects, but nobody reads."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from asgi_wsguard.integrations.opentelemetry import OpenTelemetryMetrics

    return OpenTelemetryMetrics(MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False))


OBSERVERS = {
    "Prometheus": ("prometheus_client", prometheus),
    "Prometheus multiprocess": ("prometheus_client", prometheus),
    "OpenTelemetry": ("opentelemetry.sdk.metrics", opentelemetry),
}


def rows(rounds: int = 300, connections: int = 50, messages: int = 100) -> Iterator[Row]:
    for name, (module, observer) in OBSERVERS.items():
        if not installed(module):
            continue
        with TemporaryDirectory() as folder:
            mode = {"PROMETHEUS_MULTIPROC_DIR": folder} if "multiprocess" in name else {}
            # Prometheus' client reads its mode only once in a process.
            with ProcessPoolExecutor(1, get_context("spawn")) as process:
                seconds, calls = process.submit(added, observer, mode, rounds, connections, messages).result()
        yield Row(f"connection: {name}", duration(seconds), seconds / TARGETS[name], 1)
        yield Row(f"message: {name}", f"{calls:g} calls", calls, 0)


def added(observer, environment: dict[str, str], rounds: int, connections: int, messages: int) -> tuple[float, float]:
    """Return the seconds that the observer adds to a connection, and the Python calls that it adds to a message."""
    os.environ.update(environment)
    from asgi_wsguard import WebSocketGuardMiddleware

    def guard(app, *observers):
        return WebSocketGuardMiddleware(app, observers=observers)

    observers = [observer()]
    apps = {"without": guard(app_returns), "with": guard(app_returns, *observers)}
    times = least({name: partial(run, app, connections) for name, app in apps.items()}, rounds)
    calls = [calls_per_message(guard(echoes, *some), messages) for some in ([], observers)]
    return times["with"] - times["without"], calls[1] - calls[0]


async def echoes(scope, receive, send):
    await receive()
    await send(ACCEPT)
    while (await receive())["type"] == "websocket.receive":
        await send(REPLY)


def calls_per_message(app, messages: int) -> float:
    """Return the number of Python functions entered for a message."""
    calls = 0

    def count(frame, event, argument) -> None:
        nonlocal calls
        calls += event == "call"

    async def connection(messages: int) -> int:
        nonlocal calls
        calls = 0
        receive = receiving(chain([CONNECT], repeat(MESSAGE, messages), [DISCONNECT]))
        sys.setprofile(count)
        await app(dict(WEBSOCKET), receive, send)
        sys.setprofile(None)
        return calls

    gc.disable()  # it calls finalizers, which would count
    try:
        asyncio.run(connection(0))  # the first one may do more
        return (asyncio.run(connection(messages)) - asyncio.run(connection(0))) / messages
    finally:
        gc.enable()
