"""Leave well: refuse new handshakes, give open websockets time to end, close the rest evenly."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

from anyio import sleep
from anyio.lowlevel import current_token

from ..arguments import check_whole
from ..denial import DenialResponse
from ..lifecycle import Verdict
from ..messages import CloseCode
from .listed import OpenConnection
from .manner import Drained, Manner
from .running import Running
from .signals import OnSignal

if TYPE_CHECKING:
    from ..connection import Connection

__all__ = ["Drained", "Drainer", "OpenConnection"]

logger = logging.getLogger("asgi_wsguard")


CRASH_PATH = 1.1
"""Seconds. Where a server refuses the close, its crash path ends the connection (O11): daphne looks once a second."""


class _Entry(NamedTuple):
    loop: object  # that serves the connection
    called_at: float  # when its app was called, in seconds of the wall clock


class Drainer:
    """Drains the websockets of an app, before a deploy say; lists them, and closes chosen ones.

    It is given to the middleware, and the app keeps it. One drainer may serve several middlewares of one process.

    Args:
        on_signal: the signals, such as ``[signal.SIGTERM]``, on which to drain before the server's own handler runs.
            Default none: signals are left alone.
        grace: seconds that open connections have to end by themselves. Default 10.
        spread: seconds over which those that are left are closed, evenly. Default 10.
        code: what they are closed with. Default 1012.
        reason: the reason given with it, up to 123 bytes of UTF-8. Default none.
        retry_after: seconds after which clients that are turned away may try again. Default 5.

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
    ) -> None:
        self._on_signal = OnSignal(on_signal, self._drain_before_it_stops)
        self._manner = Manner(grace, spread, code, reason)
        check_whole("retry_after", retry_after, 0)
        self._denial = DenialResponse.plain(503, [("retry-after", str(retry_after))])
        self._connections: dict[Connection, _Entry] = {}
        self._running: set[Running] = set()
        self._random = Random()
        self._draining = self._crashed = False

    @property
    def draining(self) -> bool:
        """Whether new handshakes are turned away. It may be read from any thread, by a readiness probe say."""
        return self._draining

    @property
    def connections(self) -> tuple[OpenConnection, ...]:
        """What is open now, oldest first. It may be read from any thread."""
        return tuple(
            _listed(connection, entry) for connection, entry in list(self._connections.items()) if connection.is_open
        )

    async def drain(
        self,
        *,
        grace: float | None = None,
        spread: float | None = None,
        code: int | None = None,
        reason: str | None = None,
    ) -> Drained:
        """Turn new handshakes away, let open connections end, close what is left, and wait for the apps.

        From now on, until `resume()`, a handshake gets 503 with ``retry-after``, and so do those that have no answer
        yet. After `grace` seconds the connections that are left are closed, evenly over `spread` seconds. Their apps
        see the disconnect, and have ``exit_timeout`` to end; then they are cancelled.

        Where a drain is under way already, this joins it; if this one ends sooner, both go on in its manner. If it
        is cancelled, and nobody else waits for the drain, no more is closed, but handshakes stay refused.

        It is for the connections of the event loop that it is called in. New handshakes are refused in all.

        Args:
            grace: see `Drainer`, as for the others.
            spread: the same.
            code: the same.
            reason: the same.

        Returns:
            What became of the connections, when all of their apps have ended. An app that was cancelled and goes on
            for another ``exit_timeout`` is not waited for.

        Raises:
            TypeError: an argument has the wrong type.
            ValueError: an argument has a value that it cannot have.
        """
        given: dict[str, Any] = {"grace": grace, "spread": spread, "code": code, "reason": reason}
        manner = replace(self._manner, **{name: value for name, value in given.items() if value is not None})
        self._draining = True
        running = self._in_this_loop(manner)
        try:
            return await running.wait()
        finally:
            if running.over and running in self._running:
                self._running.remove(running)
                logger.info("[wsguard-D4] drained: %s", running.drained)

    def resume(self) -> None:
        """Let handshakes in again, and close no more: the deploy is called off.

        A drain that is under way returns with what it came to. One in another event loop does so at its next turn.
        """
        self._draining = False
        loop = _this_loop()
        for running in tuple(self._running):
            running.call_off(loop)

    def _in_this_loop(self, manner: Manner) -> Running:
        loop = current_token()
        for running in tuple(self._running):
            if running.loop == loop and not running.over:
                running.hurry(manner)
                return running
        connections = [one for one, entry in list(self._connections.items()) if entry.loop == loop]
        running = Running(connections, manner, self._denial, self._random)
        self._running.add(running)
        text = "[wsguard-D1] draining: %d connections have %g s to end, and are then closed over %g s"
        logger.info(text, len(connections), manner.grace, manner.spread)
        return running

    async def _drain_before_it_stops(self) -> None:
        await self.drain()
        if self._crashed:
            await sleep(CRASH_PATH)

    # For the middleware

    @property
    def refusal(self) -> Verdict:
        """The answer to a handshake while draining."""
        return Verdict(self._denial, CloseCode.TRY_AGAIN_LATER)

    def add(self, connection: Connection) -> None:
        """Note that the app is about to be called."""
        self._connections[connection] = _Entry(current_token(), time.time())
        self._on_signal.watch()

    def remove(self, connection: Connection) -> None:
        """Note that the app has ended."""
        del self._connections[connection]
        self._crashed = self._crashed or connection.crashed
        for running in tuple(self._running):
            running.ended(connection)

    def served(self) -> None:
        """Note that the server stops, or has no lifespan: the app's is over."""
        self._on_signal.restore()

    def overran(self, connection: Connection) -> None:
        """Note that the app is being cancelled, as it went on after the end."""
        for running in tuple(self._running):
            running.overran(connection)


def _listed(connection: Connection, entry: _Entry) -> OpenConnection:
    return OpenConnection(
        path=connection.path,
        route=connection.route,
        client=connection.client,
        subprotocol=connection.subprotocol,
        since=datetime.fromtimestamp(entry.called_at + connection.answered_after, timezone.utc),
        _connection=connection,
        _loop=entry.loop,
    )


def _this_loop() -> object:
    try:
        return current_token()
    except RuntimeError:  # a thread without one
        return None
