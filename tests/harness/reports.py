"""Reports of connections that ended in various ways."""

from __future__ import annotations

from dataclasses import replace

from asgi_wsguard.report import ConnectionReport, Outcome, Violation

LEFT = ConnectionReport(
    outcome=Outcome.LEFT,
    path="/rooms/7",
    route="/rooms/{room}",
    client="192.0.2.7:50000",
    subprotocol=None,
    http_version="1.1",
    answered_after=0.03,
    open_for=70.0,
    status=None,
    close_code=1001,
    close_reason="",
    closed_by="client",
    violations=(),
    cancelled=False,
    error_type="",
    error="",
    where="",
)
CRASHED = replace(
    LEFT,
    outcome=Outcome.RAISED,
    close_code=1011,
    closed_by="guard",
    violations=(Violation("O9", "both"), Violation("O4", "code 1006")),
    error_type="KeyError",
    error="KeyError",
)
UNANSWERED = replace(
    CRASHED, outcome=Outcome.RAISED_UNANSWERED, open_for=None, close_code=None, status=500, violations=()
)
TIMEOUT = replace(
    UNANSWERED, outcome=Outcome.HANDSHAKE_TIMEOUT, status=503, answered_after=20.001, error_type="", error=""
)
GONE = replace(LEFT, outcome=Outcome.LEFT_UNANSWERED, open_for=None, close_code=None, answered_after=None, route="")
REPORTS = [LEFT, LEFT, replace(LEFT, close_code=None, open_for=0.2, route=""), CRASHED, UNANSWERED, TIMEOUT, GONE]


class Reports(list[ConnectionReport]):
    """An observer that never waits."""

    async def __call__(self, report: ConnectionReport) -> None:
        self.append(report)
