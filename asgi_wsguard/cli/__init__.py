"""The command line: one module for each command. Its libraries come with the extra `cli`."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from io import TextIOWrapper
from typing import cast

NEEDED = ("click", "rich", "h11", "h2", "wsproto")


def main() -> int:
    """Run the command that `sys.argv` names, and exit with its status: 2 for wrong input."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        print(f"asgi-wsguard: not installed: {names}. Install them: pip install 'asgi-wsguard[cli]'", file=sys.stderr)
        return 2
    # A file or a pipe may have an encoding without the signs of a table.
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(errors="replace")
    # Who is told to end stops what it has started, as with Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    from asgi_wsguard.cli.commands import commands

    commands.main()
