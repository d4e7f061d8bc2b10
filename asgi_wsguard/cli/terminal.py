"""The console of the commands."""

from __future__ import annotations

import os

from rich.console import Console

WIDTH = 110
"""The width of output to a file or a pipe, unless `COLUMNS` sets another."""


def terminal() -> Console:
    """Return the console of stdout, which prints text as it is."""
    console = Console(highlight=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = WIDTH
    return console
