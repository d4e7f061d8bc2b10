"""The misbehaving apps, with the result that each client must get, and what else must hold.

Each clause of the contract has at least one scenario. The expectation is the same for every server.
"""

from __future__ import annotations

from asgi_wsguard.probe.scenarios import (  # noqa: F401 - each adds its own
    ended,
    handshake,
    leaving,
    limits,
    opened,
    races,
    stuck,
)
from asgi_wsguard.probe.scenarios.parts import SCENARIOS, SECRET, ProbeError

# In the order of the contract.
SCENARIOS.sort(key=lambda scenario: ("HOE".index(scenario.clause[0]), int(scenario.clause[1:])))

# The everyday ones, which the README and `scripts/demo` show.
EVERYDAY = (
    "returns",
    "raises",
    "awaits",
    "unoffered-subprotocol",
    "accepts-and-returns",
    "accepts-and-raises",
    "closes-1006",
    "waits-until-left",
)

__all__ = ["EVERYDAY", "SCENARIOS", "SECRET", "ProbeError"]
