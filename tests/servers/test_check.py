"""`check` on real servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_wsguard.cli.commands import commands
from harness.forks import forked as forked

APPS = Path(__file__).parents[1] / "tools"
SERVERS = ["uvicorn-sansio", "hypercorn-trio", "daphne", "granian", "gunicorn-asgi"]
CLIENT_GETS = {"uvicorn-sansio": "500", "hypercorn-trio": "500", "daphne": "no response"}


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(APPS)
    monkeypatch.syspath_prepend(os.fspath(APPS))


def run(name: str, server: str, *more: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(commands, ["check", f"check_apps:{name}", "--server", server, *more])
    return result.exit_code, result.output.splitlines()


def on(server: str, lines: list[str]) -> list[str]:
    return [line for line in lines if f"/ws on {server}: " in line]


@pytest.mark.parametrize("server", SERVERS)
def test_an_app_that_works(server: str) -> None:
    asked = ["--header", "X-Token: a:b", "--path", "/chat room?token=1", "--subprotocol", "chat", "--send", "hi"]
    assert run("needs_header", server, *asked) == (0, ["no findings in 9 visits"])


@pytest.mark.parametrize("server", SERVERS)
def test_an_app_that_returns(server: str) -> None:
    status, lines = run("returns", server, "--path", "/ws")
    gets = f"; the client got {CLIENT_GETS[server]}" if server in CLIENT_GETS else ""
    (line,) = on(server, lines)
    assert line.startswith(
        f"[H1] /ws on {server}: the app returned without answering the handshake{gets} (check_apps.py:"
    )
    assert (status, lines[-1]) == (1, "2 findings in 4 visits")


@pytest.mark.parametrize("server", SERVERS)
def test_an_app_that_fails_when_its_client_leaves(server: str) -> None:
    status, lines = run("forgets_the_disconnect", server, "--path", "/ws")
    (line,) = on(server, lines)
    assert "[E3]" in line
    assert "the app raised KeyError: 'text' after the connection was over (check_apps.py:" in line
    assert status == 1


@pytest.mark.parametrize("server", SERVERS)
def test_an_app_that_never_answers(server: str) -> None:
    _, lines = run("never_answers", server, "--path", "/ws", "--timeout", "0.5")
    assert [line[:5] for line in on(server, lines)] == ["[H4] ", "[O12]"]
    assert all("the app waits at check_apps.py:" in line for line in on(server, lines))


def test_a_lifespan_on_a_server() -> None:
    assert run("startup", "uvicorn-sansio") == (0, ["no findings in 7 visits"])


def test_a_guard_stands_aside_on_a_server() -> None:
    _, lines = run("guarded", "uvicorn-sansio")
    assert lines[-1] == "2 findings in 4 visits; the guard in the app's stack was bypassed"
