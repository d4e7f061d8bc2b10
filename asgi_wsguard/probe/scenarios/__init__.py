"""The misbehaving apps: what each does, what its client must get, and what else must hold.

Each clause of the contract is met at least once. The expectation is the same for every server.
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

# As the contract has them.
SCENARIOS.sort(key=lambda scenario: ("HOE".index(scenario.clause[0]), int(scenario.clause[1:])))

# Those that everybody meets one day: what the README and `scripts/demo` show.
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
