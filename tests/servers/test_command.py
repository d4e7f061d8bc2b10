"""The command line as a process: on a real server, on none, with a guard that is broken, and interrupted."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from harness.environments import environment

ONE = ["probe", "--server", "uvicorn-sansio", "--scenario", "returns"]


def command(*arguments: str, python: str = sys.executable, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command, and return what became of it."""
    return subprocess.run(
        [python, "-m", "asgi_wsguard", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **env},
        check=False,
    )


def test_probe(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("results.json", "results.md", "results.svg")]
    as_json, markdown, svg = files
    asked = ["probe", "--server", "uvicorn-sansio", "--scenario", "H1", "--scenario", "O1", "--scenario", "awaits"]
    done = command(*asked, "--json", str(as_json), "--markdown", str(markdown), "--svg", str(svg))
    assert (done.returncode, done.stderr) == (0, "")
    assert "accepts, and returns" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110
    results = json.loads(as_json.read_text(encoding="utf-8"))
    assert results["version"] == 1
    (server,) = results["servers"].values()
    assert [*server["versions"]] == ["uvicorn", "websockets"]
    assert server["results"]["returns"]["guarded"]["client"] == "500"
    assert server["results"]["awaits"]["bare"]["client"] == "nothing"
    assert server["results"]["accepts-and-returns"]["bare"]["client"] == "close 1006"
    assert server["results"]["accepts-and-returns"]["guarded"]["client"] == "close 1000"
    assert "| O1 | accepts, and returns | ✗ close 1006 | close 1000 |" in markdown.read_text(encoding="utf-8")
    assert svg.read_text(encoding="utf-8").startswith("<svg")


def test_narrow() -> None:
    done = command("explain", "H14", COLUMNS="80", NO_COLOR="1")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80


def test_as_the_installed_script() -> None:
    script = Path(sys.executable).with_name("asgi-wsguard")
    done = subprocess.run([script, "explain", "nothing"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("asgi-wsguard explain: no clause 'nothing'")


def test_a_guard_that_is_broken(tmp_path: Path) -> None:
    """It says what went wrong, and ends with 1."""
    (tmp_path / "sitecustomize.py").write_text(
        "from asgi_wsguard import WebSocketGuardMiddleware\n"
        "async def call(self, scope, receive, send):\n"
        "    await self.app(scope, receive, send)\n"
        "WebSocketGuardMiddleware.__call__ = call\n"
    )
    done = command("probe", "--server", "uvicorn-sansio", "--scenario", "O1", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "accepts-and-returns on uvicorn-sansio, guarded: the client got close 1006 '', not 1000 ''" in " ".join(
        done.stdout.split()
    )


def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    broken = tmp_path / "uvicorn.py"
    broken.write_text("raise SystemExit('uvicorn has a cold')")
    done = command(*ONE, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (1, "")
    assert "uvicorn-sansio did not start: uvicorn has a cold" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(tmp_path: Path, number: int) -> None:
    """Nothing that it has started is left."""
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "if 'uvicorn' in sys.orig_argv:\n"
        f"    with open({str(fifo)!r}, 'w') as started:\n"
        "        started.write(f'{os.getpid()}\\n')\n"
    )
    probe = [sys.executable, "-m", "asgi_wsguard", *ONE]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    with (
        os.fdopen(os.open(fifo, os.O_RDWR), buffering=1) as started,  # both ends, so that no server waits for the other
        subprocess.Popen(probe, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process,
    ):
        assert select.select([started], [], [], 60)[0]
        server = int(started.readline())
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors.split()) == (130, ["asgi-wsguard:", "interrupted"])
    with pytest.raises(ProcessLookupError):
        os.kill(server, 0)


@pytest.fixture(scope="module")
def without_servers() -> str:
    """An interpreter that has the command line, and no server."""
    return environment("{}.{}".format(*sys.version_info), "click", "rich", "h11", "h2", "wsproto")


def test_no_server(without_servers: str) -> None:
    done = command("probe", python=without_servers)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("asgi-wsguard probe: no server is installed: pip install uvicorn websockets ")


def test_a_server_that_is_missing(without_servers: str) -> None:
    done = command("probe", "--server", "hypercorn-trio", python=without_servers)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "asgi-wsguard probe: hypercorn-trio is not installed: pip install hypercorn trio\n"


def test_no_libraries() -> None:
    """What needs no extra says which one is needed."""
    done = command("explain", python=environment("{}.{}".format(*sys.version_info)))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(". Install them: pip install 'asgi-wsguard[cli]'\n")
