"""What a type checker says of the code of users."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

IMPORTS = "from asgi_wsguard import Drainer, WebSocketGuardMiddleware as Guard\nfrom asgi_wsguard.testing import *\n"


def mypy(code: str, folder: Path) -> list[str]:
    """Return its errors."""
    Path(folder, "app.py").write_text(IMPORTS + code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", "app.py"]
    checked = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return [line for line in checked.stdout.splitlines() if ": error: " in line]


def test_what_is_right(tmp_path: Path) -> None:
    code = """
guard: Guard = Guard(print, without_extension="close", send_after_end="drop", drainer=Drainer(), observers=[print])
session: WebSocketSession = WebSocketSession(guard, "/chat")
"""
    assert mypy(code, tmp_path) == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ('Guard(print, without_extension="drop")', "incompatible type \"Literal['drop']\""),
        ('Guard(print, send_after_end="close")', "incompatible type \"Literal['close']\""),
        ("Guard(print, drainer=1)", 'incompatible type "int"; expected "Drainer | None"'),
        ("import asgi_wsguard\nasgi_wsguard.Guard", 'Module has no attribute "Guard"'),
    ],
)
def test_what_is_wrong(code: str, told: str, tmp_path: Path) -> None:
    (error,) = mypy(code, tmp_path)
    assert told in error
