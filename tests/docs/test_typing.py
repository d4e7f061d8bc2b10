"""What a type checker says of the code of users."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

IMPORTS = "from asgi_wsguard import Drainer, WebSocketGuardMiddleware as Guard\nfrom asgi_wsguard.testing import *\n"
RIGHT = """
guard: Guard = Guard(print, without_extension="close", send_after_end="drop", drainer=Drainer(), observers=[print])
session: WebSocketSession = WebSocketSession(guard, "/chat")
"""
WRONG = {
    'Guard(print, without_extension="drop")': "incompatible type \"Literal['drop']\"",
    'Guard(print, send_after_end="close")': "incompatible type \"Literal['close']\"",
    "Guard(print, drainer=1)": 'incompatible type "int"; expected "Drainer | None"',
    "import asgi_wsguard\nasgi_wsguard.Guard": 'Module has no attribute "Guard"',
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return the errors in each of these, from one run."""
    folder = tmp_path_factory.mktemp("typed")
    files = {code: f"app_{number}.py" for number, code in enumerate([RIGHT, *WRONG])}
    for code, name in files.items():
        Path(folder, name).write_text(IMPORTS + code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-pretty", *files.values()]
    checked = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [line for line in checked.stdout.splitlines() if ": error: " in line]
    assert all(line.startswith("app_") for line in lines), lines
    return {code: [line for line in lines if line.startswith(f"{name}:")] for code, name in files.items()}


def test_what_is_right(errors: dict[str, list[str]]) -> None:
    assert errors[RIGHT] == []


@pytest.mark.parametrize(("code", "told"), WRONG.items())
def test_what_is_wrong(code: str, told: str, errors: dict[str, list[str]]) -> None:
    (error,) = errors[code]
    assert told in error
