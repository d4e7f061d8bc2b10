"""The probe's scenarios that a browser can run, and what it must see of each behind the guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any, Callable

from asgi_wsguard.probe.client.observation import ABNORMAL
from asgi_wsguard.probe.model import Closed, Cut, Denied, OneOf, Outcome, Scenario, Until, Vanish

CANNOT: dict[str, Callable[[Scenario], bool]] = {
    "offer a subprotocol, and take an answer without one": lambda scenario: bool(scenario.offers),
    "read nothing for a while": lambda scenario: any(isinstance(step, Until) for step in scenario.steps),
    "leave an open websocket without a close frame": lambda scenario: any(
        isinstance(step, Vanish) for step in scenario.steps
    ),
    "reset a connection": lambda scenario: any(isinstance(step, Vanish) and step.reset for step in scenario.early),
    "hang up as soon as it has asked": lambda scenario: isinstance((*scenario.early, None)[0], Vanish),
}
"""What a client does that a browser cannot, and whether a scenario needs it."""


def obstacle(scenario: Scenario) -> str:
    """Return the part of the scenario that a browser cannot do; an empty string if it can run it."""
    return next((what for what, needs in CANNOT.items() if needs(scenario)), "")


def described(scenario: Scenario) -> dict[str, Any]:
    """Return what the page needs to run the scenario, and to judge the result."""
    return {
        "name": scenario.name,
        "clause": scenario.clause,
        "title": scenario.title,
        "early": [_step(step) for step in scenario.early],
        "steps": [_step(step) for step in scenario.steps],
        "company": scenario.company,
        "options": scenario.options,
        "promise": " or ".join(promised(scenario.client_gets)),
        "sees": [*seen(scenario.client_gets)],
        "notes": scenario.app_sees,
    }


def promised(outcome: Outcome) -> Iterator[str]:
    """Describe in a few words what the client may get; each of these is right."""
    if isinstance(outcome, OneOf):
        for one in outcome.outcomes:
            yield from promised(one)
    elif isinstance(outcome, Closed):
        yield f"closed with {outcome.code}{outcome.reason and f' “{outcome.reason}”'}"
    elif isinstance(outcome, Denied):
        yield f"refused with {outcome.status}"
    else:
        yield "cut" if isinstance(outcome, Cut) else "nobody waits"


def seen(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Describe what a browser sees when a client gets that; each of these is right.

    A browser does not reveal how a handshake was rejected. `status` is the server's answer, if it is the same on all.
    """
    if isinstance(outcome, OneOf):
        for one in outcome.outcomes:
            yield from seen(one)
    elif isinstance(outcome, Closed):
        messages = None if outcome.messages is None else [*map(_text, outcome.messages)]
        yield {"opened": True, "code": outcome.code, "reason": outcome.reason, "messages": messages, "status": None}
    else:
        status = outcome.status if isinstance(outcome, Denied) else None
        yield {"opened": False, "code": ABNORMAL, "reason": "", "messages": [], "status": status}


def _text(message: str | bytes) -> str:
    return message if isinstance(message, str) else repr(message)


def _step(step: Any) -> list[Any]:
    return [type(step).__name__.lower(), *astuple(step)]
