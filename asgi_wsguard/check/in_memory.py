"""The visits in memory, on a server as strict as the ASGI spec."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asgi_wsguard.check.findings import Findings
from asgi_wsguard.check.lifespan import lifespan
from asgi_wsguard.check.visited import Bare, VisitedApp
from asgi_wsguard.check.visits import PLAIN, Question, Visit, visits
from asgi_wsguard.probe.model import Leave, Say, Until
from asgi_wsguard.testing.server import Client
from asgi_wsguard.testing.session import asked


async def check(app: Any, questions: Sequence[Question], findings: Findings) -> bool:
    """Visit the app within its lifespan; return whether it started."""
    bare = Bare(app)
    async with lifespan(app) as running:
        started = not running.violations
        findings.without_lifespan = running.unsupported
        if started:
            for question in questions:
                client = await _play(PLAIN, bare, question, running.state, findings)
                if client.denial:
                    findings.denied[question.place] = client.denial.status
                for visit in visits(question.messages, opens=client.accepted):
                    await _play(visit, bare, question, running.state, findings)
    for violation in running.violations:
        findings.add("lifespan", violation)
    findings.guarded = bare.guarded
    return started


async def _play(visit: Visit, app: Bare, question: Question, state: dict[str, Any], findings: Findings) -> Client:
    """Let one client visit the app, and return its view."""
    server = asked(question.path, subprotocols=question.subprotocols, headers=question.sent)
    server.scope["state"] = dict(state)
    if not visit.reads:
        server.client_stops_reading()
    visited = VisitedApp(app, server, question.timeout)
    visited.start()
    for step in (*visit.early, *visit.steps):
        if isinstance(step, Until):
            if not await visited.reach(step.note):
                break
        elif isinstance(step, Say):
            server.client_sends(step.text)
        else:
            visited.leave(1000 if isinstance(step, Leave) else 1006)
    visited.leave(1006)
    findings.visits += 1
    for violation in await visited.judge():
        findings.add(question.place, violation)
    return server.client
