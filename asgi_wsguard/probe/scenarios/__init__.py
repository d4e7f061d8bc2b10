"""The misbehaving apps: what each does, what its client must get, and what else must hold.

Each clause of the contract is met at least once. The expectation is the same for every server.
"""

from __future__ import annotations

from asgi_wsguard.probe.scenarios import ended, handshake, opened  # noqa: F401 - each adds its own, in this order
from asgi_wsguard.probe.scenarios.parts import SCENARIOS, SECRET, ProbeError

__all__ = ["SCENARIOS", "SECRET", "ProbeError"]
