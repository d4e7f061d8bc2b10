"""Runs an incident in the environment of its days, bare and guarded.

Its module names what it needs: `NEEDS` is the Python and the requirements. With `SERVER`, a command as the probe's,
the module's `app` is served, and the test takes `served`. With `client(app)`, which returns what a test client got, the
test takes `tested`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

import pytest

from asgi_wsguard.probe import client
from asgi_wsguard.probe.servers import Running, Server, get, running, stop
from harness.environments import environment
from harness.forks import forked as forked

HERE = Path(__file__).parent


def python_of(incident: Any) -> str:
    return environment(*incident.NEEDS) if incident.NEEDS else sys.executable


@dataclass(frozen=True)
class Served:
    """An incident's server, with the app at /bare and /guarded."""

    process: Running

    def visit(self, kind: str, *steps: Any, patience: float = 5.0, **more: Any) -> client.Observation:
        return client.visit(self.process.port, f"/{kind}", steps=steps, patience=patience, **more)

    def running(self, kind: str) -> int:
        """Return how many of the apps still run."""
        return int(json.loads(get(self.process.port, "/", 5.0)).get(f"/{kind}", 0))

    def ends(self, kind: str) -> bool:
        """Tell whether all of the apps end."""
        return self._comes(lambda: self.running(kind) == 0)

    def logs(self, text: str) -> bool:
        """Tell whether the server logs that."""
        return self._comes(lambda: text in self.log())

    def log(self) -> str:
        return self.process.log()

    def stops(self, patience: float) -> bool:
        """Tell whether SIGTERM stops the server."""
        return stop(self.process.process, patience)

    def _comes(self, event: Callable[[], bool]) -> bool:
        deadline = time.monotonic() + 10.0
        while not event():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


@pytest.fixture
def served(request: pytest.FixtureRequest) -> Iterator[Served]:
    incident = request.module
    env = {"INCIDENT": incident.__name__, "PYTHONPATH": str(HERE)}
    server = Server(incident.__name__, incident.SERVER)
    with running(server, app="incident_app:app", python=python_of(incident), env=env) as process:
        yield Served(process)
        stop(process.process, patience=0.0)  # what hangs is not waited for


@pytest.fixture
def tested(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Run the incident's test client, and return what it got: "it hangs" when nothing came."""
    incident = request.module

    def run(kind: str) -> str:
        command = [python_of(incident), str(HERE / "incident_client.py"), incident.__name__, kind]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode == 3:  # so incident_client.py tells
            assert "in client" in done.stderr, done.stderr
            return "it hangs"
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
