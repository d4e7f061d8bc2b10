"""Refusal in memory: the guard's time for one, with its log line up to the handler. Ratio: to 150 µs."""

from __future__ import annotations

import asyncio
import logging
from contextlib import contextmanager, suppress
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from asgi_wsguard import Drainer, WebSocketGuardMiddleware
from benchmarks.inmemory import CONNECT, DISCONNECT, WEBSOCKET, least, receiving, send
from benchmarks.middlewares import installed
from benchmarks.report import Row, duration

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = 150e-6


async def silent(scope, receive, send):
    """Not answer."""


async def raises(scope, receive, send):
    raise ValueError("no")


def fastapi():
    from fastapi import FastAPI, WebSocket

    async def endpoint(websocket) -> None:
        """Not answer."""

    endpoint.__annotations__["websocket"] = WebSocket  # a string could not be resolved
    app = FastAPI()
    app.add_api_websocket_route("/", endpoint)
    return app


def full(app):
    """A middleware that refuses, because its only place is taken."""
    guarded = WebSocketGuardMiddleware(app, max_connections=1)
    guarded._options.seats.taken = 1
    return guarded


def draining(app):
    drainer = Drainer()
    asyncio.run(drainer.drain())
    return WebSocketGuardMiddleware(app, drainer=drainer)


def rows(rounds: int = 300, refusals: int = 50) -> Iterator[Row]:
    apps = {"bare": silent, "FastAPI": fastapi()} if installed("fastapi") else {"bare": silent}
    refusing = {}
    for name, app in apps.items():
        refusing["E9", "max_connections", name] = full(app), None
        refusing["D1", "draining", name] = draining(app), None
        refusing["H1", "no answer", name] = WebSocketGuardMiddleware(app), app
    refusing["H2", "exception", "bare"] = WebSocketGuardMiddleware(raises), raises
    for (clause, *_), (guarded, _) in refusing.items():
        check(guarded, clause)
    called = {app for _, app in refusing.values() if app is not None}
    runs = {app: partial(one_run, app, refusals) for app in (*called, *(guarded for guarded, _ in refusing.values()))}
    with logging_to(logging.NullHandler()):
        times = least(runs, rounds)
    for (clause, why, name), (guarded, app) in refusing.items():
        seconds = times[guarded] - times.get(
            app, 0
        )  # the time of the app itself, where it is called, is not the guard's
        yield Row(f"{why} ({clause}): {name}", duration(seconds), seconds / TARGET, 1)


@contextmanager
def logging_to(handler: logging.Handler, level: int = logging.NOTSET) -> Iterator[None]:
    """Let the guard's log go to this handler only."""
    logger = logging.getLogger("asgi_wsguard")
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def check(guarded, clause: str) -> None:
    """Raise if it does not refuse for this clause."""
    lines = []
    handler = logging.Handler()
    handler.emit = lines.append
    with logging_to(handler, logging.DEBUG):
        one_run(guarded, 1)
    signatures = [line.ws_signature for line in lines]
    if signatures != [f"wsguard-{clause}"]:
        raise AssertionError(f"{clause} is to be measured, not {signatures}")


def one_run(app, refusals: int) -> float:
    """Return the seconds that one refusal takes."""

    async def run() -> float:
        took = 0.0
        for _ in range(refusals):
            receive, scope = receiving([CONNECT, DISCONNECT]), dict(WEBSOCKET)
            started = perf_counter()
            with suppress(ValueError):
                await app(scope, receive, send)
            took += perf_counter() - started
        return took / refusals

    return asyncio.run(run())
