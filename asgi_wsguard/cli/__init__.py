"""The command line, with one module for each command. The extra `cli` installs its libraries."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec
from io import TextIOWrapper
from typing import cast

NEEDED = ("click", "rich", "h11", "h2", "wsproto")


def main() -> int:
    """Run the command that `sys.argv` names, and exit with its status, which is 2 for invalid input."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        names = ", ".join(missing)
        print(f"asgi-wsguard: not installed: {names}. Install them: pip install 'asgi-wsguard[cli]'", file=sys.stderr)
        return 2
    # A file or a pipe may have an encoding without box-drawing characters.
    for stream in (sys.stdout, sys.stderr):
        cast(TextIOWrapper, stream).reconfigure(errors="replace")
    # On SIGTERM, stop the servers that were started. A shell starts background jobs with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    from asgi_wsguard.cli.commands import commands

    commands.main()
