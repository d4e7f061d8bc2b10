"""The result of a scenario, in a few words that are the same in every run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from asgi_wsguard.probe.judge import Result, client_faults, describe
from asgi_wsguard.probe.model import Closed, Cut, Denied, OneOf, Outcome, Scenario
from asgi_wsguard.probe.newest import BUT
from asgi_wsguard.probe.servers import Server

OWN_RESPONSE = ("H6", "H7", "H8")
"""The clauses in which the response is the app's own."""


DESTROYED = "was destroyed but it is pending"
"""asyncio's log line for a task that was left behind and garbage-collected."""


def cell(server: Server, scenario: Scenario, result: Result, *, guarded: bool) -> str:
    """Return what the client got, and the deviations from the contract, for the client or for the app.

    Without the guard the server may deny in its own words, and by its own exceptions; and where it cannot send a
    response, the status that the contract wants elsewhere is as good as 403.
    """
    wanted = server.expects(scenario)
    if not guarded:
        wanted = replace(wanted, client_gets=OneOf((_in_any_words(scenario), _in_any_words(wanted))))
    wrongs = ", ".join(_wrongs(wanted, result))
    return f"{describe(result.seen)}{BUT}{wrongs}" if wrongs else describe(result.seen)


def _in_any_words(scenario: Scenario) -> Outcome:
    wanted = scenario.client_gets
    own = isinstance(wanted, Denied) and scenario.clause not in OWN_RESPONSE
    return Denied(wanted.status, body=None) if own else wanted


def _wrongs(wanted: Scenario, result: Result) -> Iterator[str]:
    seen, left = result.seen, result.left
    if not left:
        yield "the server dies"
        return
    if any(client_faults(wanted, seen)):
        yield "in part" if describe(seen) in _words(wanted.client_gets) else "wrong"
    if left["running"]:
        yield "the app stays"
        return
    if wanted.app_sees is not None and _kinds(left["notes"]) != _kinds(wanted.app_sees):
        yield "the app is told otherwise"
    elif wanted.raises == "" and left["raised"]:
        yield "the app gets an exception"
    if left["tasks"] or DESTROYED in result.log:
        yield "tasks stay"


def _words(outcome: Outcome) -> Iterator[str]:
    """Yield the words for each outcome, as `describe` has them."""
    if isinstance(outcome, OneOf):
        for one in outcome.outcomes:
            yield from _words(one)
    elif isinstance(outcome, Closed):
        yield f"close {outcome.code}"
    elif isinstance(outcome, (Denied, Cut)):
        yield f"{outcome.status}{', cut' if isinstance(outcome, Cut) else ''}"


def _kinds(notes: Sequence[str]) -> list[str]:
    """Replace the names of exceptions, which begin with a capital letter, by one word."""
    return ["exception" if note[:1].isupper() else note for note in notes]
