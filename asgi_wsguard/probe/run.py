"""Play scenarios on servers, side by side, without the guard and with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable

from asgi_wsguard.probe.model import Scenario
from asgi_wsguard.probe.play import PATIENCE, Result, play
from asgi_wsguard.probe.results import Cell, Pair, Played, Results, cell
from asgi_wsguard.probe.servers import Running, Server, running, stop

AT_ONCE = 2 * (os.cpu_count() or 1)
"""Processes of servers. They wait more than they work."""

BARE_PATIENCE = 1.5
"""Seconds. Without the guard many a client waits forever; daphne answers after a second at the latest."""


class Series:
    """The scenarios on one server, one after the other, without the guard or with it.

    What hung or stayed behind may harm what comes next. So the server is restarted then.
    """

    def __init__(
        self,
        server: Server,
        scenarios: Sequence[Scenario],
        *,
        guarded: bool,
        done: Callable[[], object] = lambda: None,
        **how: Any,
    ) -> None:
        """Prepare it.

        Args:
            server: the server.
            scenarios: what to play.
            guarded: with the guard around each app.
            done: called after each scenario.
            how: the interpreter and the environment variables, as for `running`.
        """
        self.server = server
        self.guarded = guarded
        self._scenarios = scenarios
        self._done = done
        self._how = how
        self._serving: Running | None = None
        self._stopped = False

    def play(self) -> dict[str, Cell]:
        """Play the scenarios, and return the result of each, by its name.

        Raises:
            RuntimeError: the server did not start; its output is in the message.
        """
        return {result.scenario.name: cell(result) for result in self.results()}

    def results(self) -> Iterator[Result]:
        """Play the scenarios, and yield the result of each; raise as `play` does."""
        patience = PATIENCE if self.guarded else BARE_PATIENCE
        with contextlib.ExitStack() as stack:
            for scenario in self._scenarios:
                if self._serving is None:
                    self._serving = stack.enter_context(running(self.server, patience=0.0, **self._how))
                if self._stopped:
                    break
                result = play(self._serving, scenario, guarded=self.guarded, patience=patience)
                if result.seen.hung or cell(result).left or not self.server.lasts:
                    stack.close()
                    self._serving = None
                self._done()
                yield result

    def stop(self) -> None:
        """End it at once, from another thread."""
        self._stopped = True
        if self._serving is not None:
            stop(self._serving.process, patience=0.0)


def run(
    servers: Sequence[Server], scenarios: Sequence[Scenario], done: Callable[[], object]
) -> tuple[Results, dict[str, str]]:
    """Play the scenarios on the servers.

    Args:
        servers: all installed.
        scenarios: what to play.
        done: called whenever a scenario has been played, twice for each on each server; from any thread.

    Returns:
        The results; and of each server that did not start, what it said.
    """
    series = [Series(server, scenarios, guarded=guarded, done=done) for server in servers for guarded in (False, True)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return _collect(servers, [pool.submit(one.play) for one in series])
        except BaseException:  # Ctrl-C, above all
            pool.shutdown(wait=False, cancel_futures=True)
            for one in series:
                one.stop()
            raise


def _collect(servers: Sequence[Server], futures: Sequence[Future[dict[str, Cell]]]) -> tuple[Results, dict[str, str]]:
    played, failed = {}, {}
    for server, bare, guarded in zip(servers, futures[::2], futures[1::2]):
        try:
            pairs = {name: Pair(found, guarded.result()[name]) for name, found in bare.result().items()}
        except RuntimeError as error:
            lines = str(error).splitlines()
            failed[server.name] = " ".join(dict.fromkeys([lines[0], lines[-1]]))
        else:
            played[server.name] = Played(server.versions(), pairs)
    return Results(played), failed
