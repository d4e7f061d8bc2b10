"""Plays apps on a server, bare and guarded."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from asgi_wsguard.compare.happened import Happened
from asgi_wsguard.compare.journal import JOURNAL, entries
from asgi_wsguard.compare.logs import comparable
from asgi_wsguard.probe.servers import SERVERS as ALL
from asgi_wsguard.probe.servers import Running, Server, get, running
from harmless.apps import modules_of
from harmless.client import Talk, warm_up
from harmless.model import IN_PROCESS, SCALE, SIDES, App, seconds

# Real seconds.
EXIT_TIMEOUT = 60.0
DAPHNE_CLOSE_TIMEOUT = 10

TESTS = str(Path(__file__).parent.parent)

NAMES = (
    "uvicorn-sansio",
    "uvicorn-websockets",
    "uvicorn-wsproto",
    "hypercorn-asyncio",
    "hypercorn-trio",
    "daphne",
    "granian",
    "gunicorn-asgi",
)


def scaled(server: Server) -> Server:
    """Return the server with its own limits scaled, where they are about the app."""
    if server.name == "daphne":
        limit = max(1, round(DAPHNE_CLOSE_TIMEOUT / SCALE))
        return replace(server, command=server.command.replace("{app}", f"--application-close-timeout {limit} {{app}}"))
    return server


SERVERS = {server.name: scaled(server) for server in ALL if server.name in NAMES}
SERVERS[IN_PROCESS] = Server(IN_PROCESS, "-m harmless.in_process")
Played = dict[str, tuple[Happened, Happened]]


@dataclass
class Run:
    """A server's process, and what happens there."""

    served: Running
    journal: Path
    talks: dict[str, Talk] = field(default_factory=dict)

    async def play(self, app: App, side: str) -> Happened:
        """Let the clients of an app do what they do, and wait until it is over."""
        talk = Talk(self.served, f"{side}/{app.name}", self.journal)
        began = time.monotonic()
        try:
            await app.client(talk)
        except Exception as exc:
            talk.note(f"the client failed: {exc!r}")
        took = time.monotonic() - began
        left = [] if app.stops else await self._left(talk.play)
        return Happened(
            dict(talk.got), by_who(self.journal, "note", talk.play), logs(self.journal, talk.play), left, took
        )

    async def _left(self, play: str) -> list[str]:
        """Return what is left behind, once nothing changes it any more."""
        deadline = time.monotonic() + seconds(EXIT_TIMEOUT * 1.2) + 0.3
        pause = 0.05 if SCALE > 1 else 0.5
        while True:
            try:
                left = json.loads(await asyncio.to_thread(get, self.served.port, f"/left/{play}", 5.0))
            except OSError:
                return ["the server does not answer"]
            if not left or time.monotonic() > deadline:
                return list(left)
            await asyncio.sleep(min(pause, deadline + 0.05 - time.monotonic()))
            pause = min(2 * pause, 0.5)  # some leave things behind for good

    async def play_all(self, apps: Sequence[App], side: str) -> dict[str, Happened]:
        """Play apps at the same time, and then those that disturb others."""
        await warm_up(self.served)
        together = [app for app in apps if not app.alone]
        happened = await asyncio.gather(*(self.play(app, side) for app in together))
        played = {app.name: one for app, one in zip(together, happened)}
        for app in apps:
            if app.alone:
                played[app.name] = await self.play(app, side)
        with contextlib.suppress(OSError):
            await asyncio.to_thread(get, self.served.port, f"/end/{side}", 5.0)
        return played


def by_who(journal: Path, kind: str, play: str) -> dict[str, list[str]]:
    """Return the lines of a play, in order, for each who."""
    lines = defaultdict(list)
    for who, text in entries(journal, kind, play):
        lines[who].append(text)
    return dict(lines)


def logs(journal: Path, play: str) -> list[str]:
    """Return what was logged in a play."""
    return sorted(comparable(text) for _, text in entries(journal, "log", play))


def play(server: Server, apps: Sequence[App]) -> Played:
    """Play apps on a server, bare and guarded."""
    if server.name == IN_PROCESS:
        return _without_server(server, apps)
    lasting = [app for app in apps if not app.stops]
    played = _one_process(server, lasting) if lasting else {}
    for app in apps:
        if app.stops:
            played |= _process_each(server, app)
    return played


def _one_process(server: Server, apps: Sequence[App]) -> Played:
    with tempfile.TemporaryDirectory() as folder, start(server, apps, Path(folder, "journal")) as served:
        run = Run(served, Path(folder, "journal"))
        bare, guarded = (asyncio.run(run.play_all(apps, side)) for side in SIDES)
    return {app.name: (bare[app.name], guarded[app.name]) for app in apps}


def _process_each(server: Server, app: App) -> Played:
    happened = []
    for side in SIDES:
        with tempfile.TemporaryDirectory() as folder, start(server, [app], Path(folder, "journal")) as served:
            run = Run(served, Path(folder, "journal"))
            happened.append(asyncio.run(run.play_all([app], side))[app.name])
    return {app.name: (happened[0], happened[1])}


def _without_server(server: Server, apps: Sequence[App]) -> Played:
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "journal")
        environment = {**os.environ, **_environment(apps, journal)}
        subprocess.run([sys.executable, *server.arguments(0)], env=environment, check=True, timeout=600)

        def happened(play: str) -> Happened:
            ((_, took),) = entries(journal, "took", play)
            left = [text for _, text in entries(journal, "left", play)]
            client, noted = (by_who(journal, kind, play) for kind in ("client", "note"))
            return Happened(client, noted, logs(journal, play), left, float(took))

        return {app.name: (happened(f"bare/{app.name}"), happened(f"guarded/{app.name}")) for app in apps}


def start(server: Server, apps: Sequence[App], journal: Path):  # type: ignore[no-untyped-def]
    """Start the server with these apps."""
    return running(server, app="harmless.served:app", env=_environment(apps, journal), patience=2.0)


def _environment(apps: Sequence[App], journal: Path) -> dict[str, str]:
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), TESTS])),
        JOURNAL: str(journal),
        "HARMLESS_APPS": " ".join(app.name for app in apps),
        "HARMLESS_MODULES": " ".join(modules_of(apps)),
        "HARMLESS_SCALE": str(SCALE),
    }
