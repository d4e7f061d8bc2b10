"""Runs an app on a server: bare, bare once more, and guarded."""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asgi_wsguard.check.visits import Question
from asgi_wsguard.compare.clients import DEAD, Client, others, plain
from asgi_wsguard.compare.compared import ADDED, BARE, CONTROL, OWN, SETTINGS
from asgi_wsguard.compare.happened import DENIED, END, Happened
from asgi_wsguard.compare.journal import JOURNAL, entries
from asgi_wsguard.compare.logs import comparable
from asgi_wsguard.compare.verdict import Finding, findings
from asgi_wsguard.probe.servers import Running, Server, get, running

PROCESS = "asgi_wsguard.compare.process:app"
MARGIN = 5.0
"""Seconds that a request to the process may take longer than it was asked to wait."""
LATE = {"daphne": 1.1}
"""Seconds until a server has logged what an app raised. Daphne (4.2.3) looks for ended apps once a second."""
SOON = 0.1
"""The same for all other servers."""


@dataclass(frozen=True)
class UsersApp:
    """The app to compare.

    Attributes:
        target: ``module:app``.
        factory: call it to get the app.
        timeout: seconds that a client waits for anything, and that the app has to end after its client.
    """

    target: str
    factory: bool
    timeout: float


@dataclass
class Comparison:
    """The result on a server.

    Attributes:
        visits: how many clients visited each side.
        denied: whether the bare app denied handshakes, and opened no websocket.
        own: whether the app's stack has a guard, so that no other was added.
        findings: the differences.
    """

    visits: int = 0
    denied: bool = False
    own: bool = False
    findings: list[Finding] = field(default_factory=list)


def compare(server: Server, app: UsersApp, questions: Sequence[Question], clients: Sequence[Client]) -> Comparison:
    """Let clients visit the app on both sides.

    Args:
        server: the server. Each side has a process of its own, one after the other.
        app: the app.
        questions: the handshakes and messages of clients like those of `check`.
        clients: more clients.

    Raises:
        RuntimeError: the server did not start with the app; its output is in the message.
    """
    with side(server, app, BARE) as bare:
        for question in questions:
            first = plain(question)
            bare.visit(first)
            for client in others(question, bare.got(first)):
                bare.visit(client)
        for client in clients:
            bare.visit(client)
        bare.finish()
    again = _visited(server, app, BARE, bare.clients)
    which = OWN if bare.guarded else ADDED
    found = _found((bare, again), _visited(server, app, which, bare.clients))
    if not all(finding.better for finding in found):
        # Once more: a busy moment of the machine makes differences, too.
        parts = {finding.part for finding in _found((bare, again), _visited(server, app, which, bare.clients))}
        found = [finding for finding in found if finding.better or finding.part in parts]
    got = [line for client in bare.clients for line in bare.got(client)]
    denied = any(line.startswith(DENIED) for line in got) and not any(line.startswith(END) for line in got)
    return Comparison(len(bare.clients), denied, bare.guarded, found)


def _visited(server: Server, app: UsersApp, which: str, clients: Sequence[Client]) -> Side:
    with side(server, app, which) as served:
        served.visit_all(clients)
    return served


def _found(bare: tuple[Side, Side], guarded: Side) -> list[Finding]:
    texts = {**bare[0].texts, **guarded.texts}
    return [
        finding.with_texts(texts)
        for client in guarded.clients
        for finding in findings(
            client, [one.happened[client] for one in bare], guarded.happened[client], guarded.reports[client]
        )
    ]


@contextlib.contextmanager
def side(server: Server, app: UsersApp, which: str) -> Iterator[Side]:
    """Serve one side."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder, "journal")
        settings = json.dumps([app.target, app.factory, which, app.timeout])
        env = {SETTINGS: settings, JOURNAL: str(journal)}
        with running(server, app=PROCESS, env=env, patience=2.0) as process:
            yield Side(process, journal, app.timeout)


class Side:
    """The app in a server's process.

    Attributes:
        clients: the clients that have visited, in order.
        happened: what happened to each, once the side is finished.
        reports: the clauses of the guard's reports about each.
        texts: the log lines, by the part that is compared.
        guarded: whether a guard in the app's stack was bypassed.
    """

    def __init__(self, process: Running, journal: Path, timeout: float) -> None:
        self.clients: list[Client] = []
        self.happened: dict[Client, Happened] = {}
        self.reports: dict[Client, list[str]] = {}
        self.texts: dict[str, str] = {}
        self.guarded = False
        self._process = process
        self._journal = journal
        self._timeout = timeout
        self._got: dict[Client, tuple[list[str], float]] = {}

    def visit(self, client: Client) -> None:
        """Let a client visit the app."""
        number = len(self.clients)
        self.clients.append(client)
        began = time.monotonic()
        try:
            self._ask(f"begin/{number}")
            began = time.monotonic()
            got = client.visit(self._process, self._timeout, lambda note: self._ask(f"reach/{note}"))
        except OSError:
            got = [DEAD]
        self._got[client] = got, time.monotonic() - began

    def visit_all(self, clients: Sequence[Client]) -> None:
        """Let clients visit the app, and finish."""
        for client in clients:
            self.visit(client)
        self.finish()

    def got(self, client: Client) -> list[str]:
        """Return what a client got."""
        return self._got[client][0]

    def finish(self) -> None:
        """Wait until nothing is left of the visits, or time is up, and record what happened."""
        deadline = time.monotonic() + self._timeout
        left = [self._left(number, deadline) for number, _ in enumerate(self.clients)]
        time.sleep(LATE.get(self._process.server.name, SOON))
        for number, client in enumerate(self.clients):
            texts = [text for _, text in entries(self._journal, "log", str(number))]
            self.texts.update((comparable(text), text) for text in texts)
            logs = sorted(map(comparable, texts))
            got, took = self._got[client]
            self.happened[client] = Happened({"": got}, {}, logs, left[number], took)
            self.reports[client] = [text for _, text in entries(self._journal, "report", str(number))]

    def _left(self, number: int, deadline: float) -> list[str]:
        while True:
            try:
                told = self._ask(f"left/{number}")
            except OSError:
                return [DEAD]
            self.guarded = self.guarded or told["guarded"]
            if not told["left"] or time.monotonic() > deadline:
                return list(told["left"])
            time.sleep(0.05)

    def _ask(self, what: str) -> Any:
        return json.loads(get(self._process.port, f"{CONTROL}{what}", self._timeout + MARGIN))
