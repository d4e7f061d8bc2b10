"""Graceful shutdown: reject new handshakes, give open websockets a grace period, and close the rest evenly."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from logging import INFO
from random import Random
from typing import Any, NamedTuple

from anyio import sleep

from ..arguments import check_whole
from ..report.log import safe_log
from ..rules.denial import DenialResponse
from ..rules.lifecycle import Answer
from ..rules.messages import CloseCode
from ..runtime import current_loop
from .drainable import Drainable
from .listed import OpenConnection
from .plan import Drained, DrainPlan
from .run import DrainRun
from .signals import OnSignal

__all__ = ["Drained", "Drainer", "OpenConnection"]


CRASH_PATH = 1.1
"""Seconds for the crash path of a server that refused the close (O11). Daphne (4.2.3) checks once a second."""


class _Entry(NamedTuple):
    loop: object  # the event loop that serves the connection
    called_at: float  # the time when its app was called, in seconds of the wall clock


class Drainer:
    """Drains the websockets of an app, for example before a deploy, lists them, and closes selected ones.

    Pass it to the middleware, and keep it in the app. One drainer may serve several middlewares of one process.

    Args:
        on_signal: the signals, such as ``[signal.SIGTERM]``, on which to drain before the server's own handler runs.
            Default none: signals are left alone.
        grace: seconds that open connections have to end on their own. Default 10.
        spread: seconds over which the remaining connections are closed, evenly. Default 10.
        code: their close code. Default 1012.
        reason: their close reason, up to 123 bytes of UTF-8. Default none.
        retry_after: seconds after which rejected clients may try again. Default 5.
        exit_timeout: seconds that an app has to end in a drain once its connection is over, even if it is cleaning up.
            Then it is cancelled. Default 10.

    Raises:
        TypeError: an option has the wrong type.
        ValueError: an option has a value that it cannot have.
    """

    def __init__(
        self,
        *,
        on_signal: Iterable[signal.Signals] = (),
        grace: float = 10.0,
        spread: float = 10.0,
        code: int = CloseCode.SERVICE_RESTART,
        reason: str = "",
        retry_after: int = 5,
        exit_timeout: float = 10.0,
    ) -> None:
        self._on_signal = OnSignal(on_signal, self._drain_before_it_stops)
        self._plan = DrainPlan(grace, spread, code, reason, exit_timeout)
        check_whole("retry_after", retry_after, 0)
        self._denial = DenialResponse.plain(503, [("retry-after", str(retry_after))])
        self._connections: dict[Drainable, _Entry] = {}
        self._runs: set[DrainRun] = set()
        self._random = Random()
        self._draining = self._crashed = False

    @property
    def draining(self) -> bool:
        """Whether new handshakes are rejected. It may be read from any thread, for example by a readiness probe."""
        return self._draining

    @property
    def connections(self) -> tuple[OpenConnection, ...]:
        """The connections that are open now, oldest first. It may be read from any thread.

        It includes connections that are over, if their app has kept running for longer than the middleware's
        ``exit_timeout``.
        """
        return tuple(
            _listed(connection, entry)
            for connection, entry in list(self._connections.items())
            if connection.is_open or connection.outlived
        )

    async def drain(
        self,
        *,
        grace: float | None = None,
        spread: float | None = None,
        code: int | None = None,
        reason: str | None = None,
        exit_timeout: float | None = None,
    ) -> Drained:
        """Reject new handshakes, let open connections end, close the remaining ones, and wait for the apps.

        From now on, until `resume()`, a new handshake gets 503 with ``retry-after``, and so does one that is not
        answered yet. After `grace` seconds the remaining connections are closed, evenly over `spread` seconds. Their
        apps get the disconnect, and have `exit_timeout` to end. Then they are cancelled.

        If a drain is already under way, this call joins it. If this one would end sooner, both follow its plan. If all
        waiting calls are cancelled, no more connections are closed, but handshakes are still rejected.

        It drains the connections of the event loop that it is called in. New handshakes are rejected in all event
        loops.

        Args:
            grace: seconds that open connections have to end on their own. Default: that of the `Drainer`.
            spread: seconds over which the remaining connections are closed. Default: that of the `Drainer`.
            code: their close code. Default: that of the `Drainer`.
            reason: their close reason. Default: that of the `Drainer`.
            exit_timeout: seconds that an app has to end. Default: that of the `Drainer`.

        Returns:
            How many connections ended in which way, when all of their apps have ended. An app that was cancelled and
            keeps running for another `exit_timeout` is not waited for.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: an argument has a value that it cannot have.
        """
        given: dict[str, Any] = {
            "grace": grace,
            "spread": spread,
            "code": code,
            "reason": reason,
            "exit_timeout": exit_timeout,
        }
        plan = replace(self._plan, **{name: value for name, value in given.items() if value is not None})
        self._draining = True
        run = self._in_this_loop(plan)
        try:
            return await run.wait()
        finally:
            if run.over and run in self._runs:
                self._runs.remove(run)
                safe_log(INFO, "[wsguard-D4] The drain is over: %s.", run.drained)

    def resume(self) -> None:
        """Admit handshakes again, and close no more connections, for example because the deploy is called off.

        A drain under way returns its result so far. One in another event loop does so at its next turn.
        """
        self._draining = False
        loop = current_loop()
        for run in tuple(self._runs):
            run.call_off(loop)

    def _in_this_loop(self, plan: DrainPlan) -> DrainRun:
        loop = current_loop()
        for run in tuple(self._runs):
            if run.loop == loop and not run.over:
                run.hurry(plan)
                return run
        connections = [one for one, entry in list(self._connections.items()) if entry.loop == loop]
        run = DrainRun(connections, plan, self._denial, self._random)
        self._runs.add(run)
        text = "[wsguard-D1] The drain begins: %d connections have %g s to end, and are then closed over %g s."
        safe_log(INFO, text, len(connections), plan.grace, plan.spread)
        return run

    async def _drain_before_it_stops(self) -> None:
        await self.drain()
        if self._crashed:
            await sleep(CRASH_PATH)

    # For the middleware

    @property
    def refusal(self) -> Answer:
        """The answer to a handshake while draining."""
        return Answer(self._denial, CloseCode.TRY_AGAIN_LATER)

    def add(self, connection: Drainable) -> None:
        """Note that the app is about to be called."""
        self._connections[connection] = _Entry(current_loop(), time.time())
        self._on_signal.watch(connection)

    def remove(self, connection: Drainable) -> None:
        """Note that the app has ended."""
        del self._connections[connection]
        self._crashed = self._crashed or connection.crashed
        for run in tuple(self._runs):
            run.ended(connection)

    def served(self) -> None:
        """Note that the app's lifespan is over: the server is stopping, or does not support lifespan."""
        self._on_signal.restore()

    def overran(self, connection: Drainable) -> None:
        """Note that the app is being cancelled, because it kept running after the end."""
        for run in tuple(self._runs):
            run.overran(connection)


def _listed(connection: Drainable, entry: _Entry) -> OpenConnection:
    return OpenConnection(
        path=connection.path,
        route=connection.route,
        client=connection.client,
        subprotocol=connection.subprotocol,
        outlived=connection.outlived,
        since=datetime.fromtimestamp(entry.called_at + connection.answered_after, timezone.utc),
        _connection=connection,
        _loop=entry.loop,
    )
