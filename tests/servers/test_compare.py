"""`compare` on real servers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_wsguard.cli.commands import commands
from harness.forks import forked as forked

APPS = Path(__file__).parents[1] / "tools"


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(APPS)
    monkeypatch.syspath_prepend(os.fspath(APPS))


def run(name: str, server: str, *more: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(commands, ["compare", f"compare_apps:{name}", "--server", server, *more])
    return result.exit_code, result.output.splitlines()


@pytest.mark.parametrize("server", ["uvicorn-sansio", "hypercorn-http2", "daphne", "gunicorn-asgi"])
def test_an_app_that_works(server: str) -> None:
    asked = ["--header", "X-Token: a:b", "--path", "/chat room?token=1", "--subprotocol", "chat", "--send", "hi"]
    assert run("needs_header", server, *asked) == (0, [f"no difference in 4 visits on {server}"])


@pytest.mark.parametrize("server", ["uvicorn-sansio", "hypercorn-trio", "granian"])
def test_an_improvement(server: str) -> None:
    """Daphne closes by itself for an app that has returned."""
    status, lines = run("says_and_returns", server)
    first = lines.index(f"[O1] / on {server}, a client that closes: what the client got (an improvement)")
    assert lines[first + 1] == "  bare     'news'"
    assert lines[first + 3 : first + 5] == ["  guarded  'news'", "           end 1000 ''"]
    assert status == 0


def test_a_difference() -> None:
    """The guard in the app's stack is there on one side."""
    status, lines = run("tells_of_its_guard", "uvicorn-sansio")
    assert status == 1
    assert lines[:5] == [
        "[E2] / on uvicorn-sansio, a client that closes: what the client got",
        "  bare     '0'",
        "           end 1000 ''",
        "  guarded  '1'",
        "           end 1000 ''",
    ]
    assert lines[5:] == [
        "1 difference in 3 visits on uvicorn-sansio; the bare side bypassed the guard in the app's stack,"
        " and the guarded side used it"
    ]


CLIENT = """
import sys
from asgi_wsguard.probe.client import visit

port = int(sys.argv[1].rpartition(":")[2])
seen = visit(port, "/ws")
print(*seen.messages, "and", seen.code)
"""


def test_a_client_of_the_users(tmp_path: Path) -> None:
    file = tmp_path / "client.py"
    file.write_text(CLIENT, encoding="utf-8")
    status, lines = run("says_and_returns", "uvicorn-sansio", "--client", str(file))
    assert status == 1
    assert lines[:3] == [
        f"[O1] {file} on uvicorn-sansio: what the client got",
        "  bare     news and 1006",
        "  guarded  news and 1000",
    ]


def test_what_is_no_doing_of_the_guards() -> None:
    assert run("varies", "uvicorn-sansio") == (0, ["no difference in 3 visits on uvicorn-sansio"])


def test_nothing_to_compare() -> None:
    hint = "no websocket was open: are --path, --header and --subprotocol right?"
    assert run("is_denied", "uvicorn-sansio") == (1, [f"no difference in 2 visits on uvicorn-sansio; {hint}"])


def test_a_server_that_does_not_start() -> None:
    status, (line,) = run("fails_to_start", "uvicorn-sansio")
    assert status == 2
    assert line.startswith("asgi-wsguard compare: uvicorn-sansio did not start: ")
