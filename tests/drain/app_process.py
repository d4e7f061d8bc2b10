"""A server's process with `drain_app`, and what that has noted."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from drain_app import NOTES, STARTED

from asgi_wsguard.probe.servers import Running, Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent


@contextlib.contextmanager
def started(server: Server, app: str, folder: Path, **env: str) -> Iterator[Running]:
    """Start the server with all of its workers: gunicorn's and granian's lose a signal that comes earlier."""
    env.update({NOTES: str(folder), "PYTHONPATH": str(HERE), "GUNICORN_CMD_ARGS": "--no-control-socket"})
    workers = 0 if "daphne" in server.command else 2 if "--workers 2" in server.command else 1
    with running(server, app=f"drain_app:{app}", env=env) as process:
        deadline = time.monotonic() + 20
        while [path for path, _ in notes(folder)].count(STARTED) < workers:
            assert time.monotonic() < deadline, process.log()
            time.sleep(0.02)
        yield process


def notes(folder: Path) -> list[list[str]]:
    """Return what the app has noted."""
    return [line.split() for path in folder.iterdir() for line in path.read_text().splitlines()]
