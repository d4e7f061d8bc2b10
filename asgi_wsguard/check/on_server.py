"""The visits on a real server, in its own process."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Sequence
from urllib.parse import quote

from asgi_wsguard.check.findings import Findings
from asgi_wsguard.check.observer import SETTINGS
from asgi_wsguard.check.visits import PLAIN, Question, Visit, visits
from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.client import visit as visited
from asgi_wsguard.probe.judge import PATIENCE, describe
from asgi_wsguard.probe.servers import Running, Server, get, running
from asgi_wsguard.report import Violation
from asgi_wsguard.testing.session import URL

APP = "asgi_wsguard.check.process:app"


def check(server: Server, target: str, *, factory: bool, questions: Sequence[Question], findings: Findings) -> None:
    """Start the server with the app, and visit it."""
    place = f"{questions[0].place} on {server.name}"
    env = {SETTINGS: json.dumps([target, factory, questions[0].timeout])}
    with contextlib.ExitStack() as stack:
        try:
            process = stack.enter_context(running(server, app=APP, env=env))
        except RuntimeError as error:
            findings.add(place, Violation("", f"the server did not start: {str(error).strip().splitlines()[-1]}"))
            return
        try:
            for question in questions:
                place = f"{question.place} on {server.name}"
                opens = _play(PLAIN, process, place, question, findings)
                for visit in visits(question.messages, opens=opens):
                    if visit.reads:
                        _play(visit, process, place, question, findings)
        except OSError as error:
            findings.add(place, Violation("", f"the server no longer answers: {error}"))


def _play(visit: Visit, process: Running, place: str, question: Question, findings: Findings) -> bool:
    """Let one client visit the app; return whether the websocket was open."""
    patience = PATIENCE + question.timeout * (3 + len(question.messages))

    def watch(note: str) -> None:
        if not json.loads(get(process.port, f"/reach/{note}", patience)):
            raise socket.timeout  # the client gives up

    seen = visited(
        process.port,
        quote(question.path, safe=URL),
        subprotocols=question.subprotocols,
        headers=question.sent,
        early=visit.early,
        steps=visit.steps,
        http=process.server.http,
        patience=patience,
        watch=watch,
    )
    told = json.loads(get(process.port, "/left", patience))
    violations = [Violation(*one) for one in told["violations"]]
    findings.visits += 1
    findings.guarded = findings.guarded or told["guarded"]
    bad = _bad_end(seen)
    for violation in violations:
        findings.add(place, violation, bad)
    if bad and not violations:
        findings.add(place, Violation("", f"the app broke no rule, but the client got {bad}"))
    return seen.opened


def _bad_end(seen: Observation) -> str:
    """Return what the client got, if a working app would not cause that; else an empty string."""
    if seen.fault:
        return f"{describe(seen)}: {seen.fault}"
    denied = seen.status is not None and not seen.opened and seen.status < 500 and not seen.cut
    fine = seen.left or denied or (seen.opened and not seen.hung and seen.code not in (1005, 1006, 1011))
    return "" if fine else describe(seen)
