"""`check` finds the line of an endpoint in any framework, and nothing where there is nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_wsguard.cli.commands import commands

SOURCE = Path(__file__).with_name("check_frameworks.py")


def run(app: str, path: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(SOURCE.parent)
    asked = ["check", f"check_frameworks:{app}", "--path", path, "--send", "hi"]
    return CliRunner().invoke(commands, asked).output.splitlines()


@pytest.mark.parametrize("app", ["starlette", "fastapi", "litestar", "channels"])
def test_an_endpoint_that_works(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(app, "/works", monkeypatch) == ["no findings in 5 visits"]


@pytest.mark.parametrize("app", ["starlette", "fastapi", "litestar"])
def test_an_endpoint_that_returns(app: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (first, _) = run(app, "/returns", monkeypatch)
    lines = SOURCE.read_text(encoding="utf-8").splitlines()
    where = next(number for number, line in enumerate(lines) if f"def {app}_returns" in line)
    where += not lines[where - 1].startswith("@")  # inspect counts from 1, and from the decorator on
    assert first == f"[H1] /returns: the app returned without answering the handshake (check_frameworks.py:{where})"


def test_a_consumer_that_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    (first, _) = run("channels", "/returns", monkeypatch)
    assert first.startswith("[H1] /returns: the app returned without answering the handshake")
