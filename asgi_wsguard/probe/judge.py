"""Runs a scenario on a running server, and judges the result."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from asgi_wsguard.probe.client import Observation, staying, visit
from asgi_wsguard.probe.model import Closed, Cut, Denied, OneOf, Outcome, Refused, Scenario
from asgi_wsguard.probe.scenarios import SECRET
from asgi_wsguard.probe.servers import Running, Server, get

PATIENCE = 5.0
"""Seconds. Daphne looks for apps that have ended once a second."""

COARSE = 0.02
"""Seconds. uvloop measures time in milliseconds, from the beginning of an iteration."""

GROUPS = ("ExceptionGroup: ",)
"""The exceptions in the group have lines of their own."""

_numbers = itertools.count()


@dataclass(frozen=True)
class Result:
    """The result of a scenario."""

    scenario: Scenario
    seen: Observation
    left: dict[str, Any]
    """What the probe's app reports: tasks left, notes, the guard's log lines and reports."""
    log: str
    """What the server printed meanwhile."""
    faults: list[str]
    """The deviations from the contract."""


def run_scenario(running: Running, scenario: Scenario, *, guarded: bool = True, patience: float = PATIENCE) -> Result:
    """Run the scenario, and compare the result with the expected one."""
    scenario = running.server.expects(scenario)
    if not guarded:
        scenario = _with_any_text(scenario)
    start = len(running.logfile.read_bytes())
    number = next(_numbers)
    path = f"/{'guarded' if guarded else 'bare'}/{scenario.name}/{number}"
    how: Any = {"http": running.server.http, "tls": running.tls, "patience": patience}

    def watch(note: str) -> None:
        with contextlib.suppress(OSError):  # the last request reports it
            get(running.port, f"/reached/{number}/{patience}/{note}", patience * 2, running.tls)

    seen = Observation()
    try:
        with contextlib.ExitStack() as company:
            if scenario.company:
                company.enter_context(staying(running.port, f"{path}-company", **how))
            seen = visit(
                running.port,
                path,
                subprotocols=scenario.offers,
                early=scenario.early,
                steps=scenario.steps,
                watch=watch,
                **how,
            )
        left = json.loads(get(running.port, f"/left/{number}/{patience}", patience * 2, running.tls))
    except OSError as error:
        return Result(scenario, seen, {}, running.log(start), [f"the server no longer answers: {error}"])
    deadline = time.monotonic() + (patience if guarded else 0)
    while not scenario.outlives and not _shows(scenario.raises, running.log(start)) and time.monotonic() < deadline:
        time.sleep(0.02)
    result = Result(scenario, seen, left, running.log(start), [])
    result.faults.extend(_faults(running.server, result))
    if guarded and not scenario.outlives:
        result.faults.extend(_log_faults(running.server, result))
    return result


def _with_any_text(scenario: Scenario) -> Scenario:
    """Return the scenario without a guard. Where the app did not deny, the server may send any text."""
    denied = scenario.client_gets
    if isinstance(denied, Denied) and scenario.clause not in ("H6", "H7", "H8"):
        return replace(scenario, client_gets=Denied(denied.status, body=None))
    return scenario


def _faults(server: Server, result: Result) -> Iterator[str]:
    scenario, left = result.scenario, result.left
    yield from client_faults(scenario, result.seen)
    if scenario.outlives:
        return
    if left["running"]:
        yield "the app still runs"
    elif left["seconds"] < scenario.app_stays - COARSE:
        yield f"the app ended after {left['seconds']:.2f} s, before {scenario.app_stays}"
    if left["tasks"]:
        yield f"tasks are left: {', '.join(left['tasks'])}"
    if left["called"] and left["extension"] != server.denial:
        yield f"the server's denial extension: {left['extension']}"
    if left["called"] and left["drops"] != server.drops:
        yield f"the server drops what is sent after the end: {left['drops']}"
    if scenario.app_sees is not None and tuple(left["notes"]) != scenario.app_sees:
        yield f"the app saw {left['notes']}, not {list(scenario.app_sees)}"


def client_faults(scenario: Scenario, seen: Observation) -> Iterator[str]:
    """Yield the deviations in what the client got."""
    if seen.fault and not isinstance(scenario.client_gets, Refused):
        yield f"the client refuses it: {seen.fault}"
    if seen.hung:
        yield f"the client waited for {seen.seconds:.1f} s"
    if seen.seconds < scenario.client_waits - COARSE:
        yield f"the client was done after {seen.seconds:.2f} s, before {scenario.client_waits}"
    yield from _outcome_faults(seen, scenario.client_gets)
    if SECRET in f"{seen.headers} {seen.body!r} {seen.reason}":
        yield "the client got the text of the exception"


def _outcome_faults(seen: Observation, expected: Outcome) -> Iterator[str]:
    if isinstance(expected, OneOf):
        if all([*_outcome_faults(seen, outcome)] for outcome in expected.outcomes):
            yield f"the client got {describe(seen)}, none of {expected.outcomes}"
    elif isinstance(expected, Cut):
        if not seen.cut or seen.status not in (None, expected.status):
            yield f"the client got {describe(seen)}, not {expected.status}, cut"
    elif isinstance(expected, Denied):
        if seen.opened or seen.cut or seen.status != expected.status:
            yield f"the client got {describe(seen)}, not {expected.status}"
        if expected.body not in (None, seen.body):
            yield f"the body is {seen.body!r}, not {expected.body!r}"
        for header in expected.headers:
            if header not in seen.headers:
                yield f"the header {header} is missing"
    elif isinstance(expected, Refused):
        if expected.fault not in seen.fault:
            yield f"the client got {describe(seen)}, and did not refuse it for {expected.fault}"
    elif isinstance(expected, Closed):
        if (seen.code, seen.reason) != (expected.code, expected.reason):
            yield f"the client got {describe(seen)} {seen.reason!r}, not {expected.code} {expected.reason!r}"
        if expected.messages not in (None, tuple(seen.messages)):
            yield f"the messages are {seen.messages}, not {expected.messages}"
        if seen.subprotocol is not None:
            yield f"the subprotocol is {seen.subprotocol!r}"


def _log_faults(server: Server, result: Result) -> Iterator[str]:
    scenario = result.scenario
    everyday = (scenario.logs or "").startswith("DEBUG")
    lines = [f"{level} {text.partition(']')[0].removeprefix('[wsguard-')}" for level, text in result.left["log"]]
    logged = ", ".join(
        line for line in lines if everyday or not line.startswith("DEBUG")
    )  # INFO lines come before the end
    if scenario.logs not in (None, logged):
        yield f"the guard logged {result.left['log']}, not {scenario.logs or 'nothing'}"
    if result.left["called"] and len(result.left["reports"]) != 1:
        yield f"there was not one report, but {result.left['reports']}"
    if len([line for line in lines if not line.startswith("INFO")]) > 1:
        yield f"there was more than one log line: {result.left['log']}"
    if scenario.raises is None:
        return
    if not _shows(scenario.raises, result.log):
        yield f"{scenario.raises} is not in the server's log"
    expected = (*server.own_errors, *GROUPS, *filter(None, [scenario.raises]))
    others = [one for one in exceptions(result.log) if not any(text in one for text in expected)]
    if others:
        yield f"the server's log has {others}"


def _shows(raised: str | None, log: str) -> bool:
    """Return whether the log has the exception, or none is expected."""
    return not raised or any(raised in one for one in exceptions(log))


def exceptions(log: str) -> list[str]:
    """Return the last line of each traceback in the log."""
    found = []
    inside = False
    for line in log.splitlines():
        text = re.sub(r"^[\s|+-]*\|", "", line)  # of an exception group
        if "Traceback (most recent call last)" in text:
            inside = True
        elif inside and text.strip() and not text.startswith("  "):
            inside = False
            found.append(text.strip())
    return found


def describe(seen: Observation) -> str:
    """Describe in a few words what the client got."""
    if seen.fault:
        return "an illegal answer"
    if seen.hung:
        return f"{'101, then ' if seen.opened else ''}nothing"
    if seen.left:
        return "(it left)"
    if seen.opened:
        return f"close {seen.code}"
    if seen.status is None:
        return "no response"
    return f"{seen.status}{', cut' if seen.cut else ''}"
