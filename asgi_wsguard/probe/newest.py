"""The results of the newest release of each server, which `scripts/compat` measures and stores next to this module.

A cell says what the client got and, after a semicolon, where that deviates from the contract. If the result varies, it
has all of them, as in "close 1000 or close 1006; wrong". The file has the date, the Python, the versions, and for each
server and scenario two cells: without the guard, and with it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("newest.json")
BUT = "; "
EITHER = " or "


def newest() -> dict[str, Any]:
    """Return the stored results."""
    stored: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return stored


def holds(cell: str) -> bool:
    """Return whether the contract held in every run."""
    return BUT not in cell
