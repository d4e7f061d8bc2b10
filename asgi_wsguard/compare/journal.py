"""The journal: a file that the server's process writes and its clients read, with one JSON list on each line."""

from __future__ import annotations

import json
import os
from contextvars import ContextVar
from pathlib import Path

JOURNAL = "ASGI_WSGUARD_JOURNAL"
"""The environment variable that names the file."""

PLAY: ContextVar[str] = ContextVar("play", default="")
"""The visit that a task in the server belongs to. The app's tasks inherit it, so that each log record, and each task
that is left behind, can be attributed to its visit."""


def write(kind: str, play: str, who: str, text: str) -> None:
    """Append a line, in a single write, because threads write, too. The line survives a killed server."""
    line = json.dumps([kind, play, who, text]).encode() + b"\n"
    file = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def entries(journal: Path, kind: str, play: str) -> list[tuple[str, str]]:
    """Return client and text of each line of a visit, in order."""
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    begin = json.dumps([kind, play]).encode()[:-1] + b","
    return [tuple(json.loads(line)[2:]) for line in lines if line.startswith(begin)]
