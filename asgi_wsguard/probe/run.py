"""Runs scenarios on servers in parallel, without the guard and with it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable

from asgi_wsguard.probe.judge import PATIENCE, Result, run_scenario
from asgi_wsguard.probe.model import Scenario
from asgi_wsguard.probe.results import Cell, Pair, Results, ServerResults, cell
from asgi_wsguard.probe.servers import Running, Server, running, stop

AT_ONCE = 2 * (os.cpu_count() or 1)
"""The number of server processes. They mostly wait."""

BARE_PATIENCE = 1.5
"""Seconds. Without the guard, many clients would wait forever. Daphne answers within a second."""


class Series:
    """The scenarios on one server, one after the other, without the guard or with it.

    The server is restarted after a scenario that hung or left something behind, which might affect the next one.
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
        """Prepare the series.

        Args:
            server: the server.
            scenarios: the scenarios to run.
            guarded: with the guard around each app.
            done: called after each scenario.
            how: the interpreter and the environment variables; see `running`.
        """
        self.server = server
        self.guarded = guarded
        self._scenarios = scenarios
        self._done = done
        self._how = how
        self._serving: Running | None = None
        self._stopped = False

    def run(self) -> dict[str, Cell]:
        """Run the scenarios, and return the result of each, by its name.

        Raises:
            RuntimeError: the server did not start; its output is in the message.
        """
        return {result.scenario.name: cell(result) for result in self.results()}

    def results(self) -> Iterator[Result]:
        """Run the scenarios, and yield the result of each; raise as `run` does."""
        patience = PATIENCE if self.guarded else BARE_PATIENCE
        with contextlib.ExitStack() as stack:
            for scenario in self._scenarios:
                if self._serving is None:
                    self._serving = stack.enter_context(running(self.server, patience=0.0, **self._how))
                if self._stopped:
                    break
                result = run_scenario(self._serving, scenario, guarded=self.guarded, patience=patience)
                if result.seen.hung or cell(result).left or not self.server.lasts:
                    stack.close()
                    self._serving = None
                self._done()
                yield result

    def stop(self) -> None:
        """End the series at once, from another thread."""
        self._stopped = True
        if self._serving is not None:
            stop(self._serving.process, patience=0.0)


def run(
    servers: Sequence[Server], scenarios: Sequence[Scenario], done: Callable[[], object]
) -> tuple[Results, dict[str, str]]:
    """Run the scenarios on the servers.

    Args:
        servers: the servers, which must be installed.
        scenarios: the scenarios to run.
        done: called whenever a scenario has run, twice for each on each server; from any thread.

    Returns:
        The results, and for each server that did not start, its output.
    """
    series = [Series(server, scenarios, guarded=guarded, done=done) for server in servers for guarded in (False, True)]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        try:
            return _collect(servers, [pool.submit(one.run) for one in series])
        except BaseException:  # above all for Ctrl-C
            pool.shutdown(wait=False, cancel_futures=True)
            for one in series:
                one.stop()
            raise


def _collect(servers: Sequence[Server], futures: Sequence[Future[dict[str, Cell]]]) -> tuple[Results, dict[str, str]]:
    found, failed = {}, {}
    for server, bare, guarded in zip(servers, futures[::2], futures[1::2]):
        try:
            pairs = {name: Pair(one, guarded.result()[name]) for name, one in bare.result().items()}
        except RuntimeError as error:
            lines = str(error).splitlines()
            failed[server.name] = " ".join(dict.fromkeys([lines[0], lines[-1]]))
        else:
            found[server.name] = ServerResults(server.versions(), pairs)
    return Results(found), failed
