"""What the newest release of each server does, as `scripts/compat` has played it, and stored it beside this.

A cell says what the client got and, after a semicolon, what was not as the contract has it. Where that is a matter of
chance it has both, as in "close 1000 or close 1006; wrong". The file has the date, the Python, the versions, and of
each server for each scenario two cells: without the guard, and with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("newest.json")
BUT = "; "
EITHER = " or "


def newest() -> dict[str, Any]:
    """Return what is stored."""
    stored: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return stored


def holds(cell: str) -> bool:
    """Return whether the contract held in each play."""
    return BUT not in cell
