"""The probe's scenarios that a browser can run, and what the browser must see behind the guard."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any, Callable

from asgi_wsguard.probe.client.observation import ABNORMAL
from asgi_wsguard.probe.model import Closed, Cut, Denied, OneOf, Outcome, Scenario, Until, Vanish

CANNOT: dict[str, Callable[[Scenario], bool]] = {
    "offer a subprotocol, and accept an answer without one": lambda scenario: bool(scenario.offers),
    "stop reading for a while": lambda scenario: any(isinstance(step, Until) for step in scenario.steps),
    "leave an open websocket without a close frame": lambda scenario: any(
        isinstance(step, Vanish) for step in scenario.steps
    ),
    "reset a connection": lambda scenario: any(isinstance(step, Vanish) and step.reset for step in scenario.early),
    "hang up right after its request": lambda scenario: isinstance((*scenario.early, None)[0], Vanish),
}
"""What a browser cannot do, and whether a scenario needs it."""


def obstacle(scenario: Scenario) -> str:
    """Return what the scenario needs and a browser cannot do; empty if a browser can run it."""
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
    """Describe in a few words the outcomes for the client that are right."""
    if isinstance(outcome, OneOf):
        for one in outcome.outcomes:
            yield from promised(one)
    elif isinstance(outcome, Closed):
        yield f"closed with {outcome.code}{outcome.reason and f' “{outcome.reason}”'}"
    elif isinstance(outcome, Denied):
        yield f"refused with {outcome.status}"
    else:
        yield "cut" if isinstance(outcome, Cut) else "the client left"


def seen(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Return what a browser may see for such an outcome; each entry is right.

    A browser does not reveal how a handshake was rejected. `status` is the server's answer, if all servers agree.
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
