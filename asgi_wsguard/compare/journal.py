"""A file that a server's process writes and its clients read: one JSON list a line."""

from __future__ import annotations

import json
import os
from contextvars import ContextVar
from pathlib import Path

JOURNAL = "ASGI_WSGUARD_JOURNAL"
"""The variable of the environment that names the file."""

PLAY: ContextVar[str] = ContextVar("play", default="")
"""What a task of the server belongs to. Tasks that an app starts inherit it, so that a log record, or a task that is
left behind, can be told from those of others."""


def write(kind: str, play: str, who: str, text: str) -> None:
    """Append a line, in one write, as threads do so, too. It survives a killed server."""
    line = json.dumps([kind, play, who, text]).encode() + b"\n"
    file = os.open(os.environ[JOURNAL], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, line)
    finally:
        os.close(file)


def entries(journal: Path, kind: str, play: str) -> list[tuple[str, str]]:
    """Return who and text of each line of a play, in order."""
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    begin = json.dumps([kind, play]).encode()[:-1] + b","
    return [tuple(json.loads(line)[2:]) for line in lines if line.startswith(begin)]
