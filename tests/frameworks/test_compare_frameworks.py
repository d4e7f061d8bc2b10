"""`compare` finds nothing but improvements in an app that works, in any framework."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_wsguard.cli.commands import commands
from harness.forks import forked as forked


@pytest.mark.parametrize(("app", "improvements"), [("fastapi", 4), ("litestar", 0), ("channels", 0)])
def test_an_endpoint_that_works(app: str, improvements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)
    asked = ["compare", f"check_frameworks:{app}", "--path", "/works", "--send", "hi", "--server", "uvicorn-sansio"]
    result = CliRunner().invoke(commands, asked)
    *lines, last = result.output.splitlines()
    assert (result.exit_code, last) == (
        0,
        f"{f'{improvements} improvements' if improvements else 'no difference'} in 4 visits on uvicorn-sansio",
    )
    # Starlette leaves the disconnect of its own client to whoever called it.
    assert all(line.startswith("[E2] /works") for line in lines[::3])
