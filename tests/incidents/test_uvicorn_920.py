"""uvicorn #920, where this project began: a failed handshake left a task behind, which made tests of others flaky."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from harness.environments import environment

NEEDS = (
    "3.9",
    "uvicorn==0.13.2",
    "websockets==8.1",
    "wsproto==1.0.0",
    "h11==0.11.0",
    "httptools==0.1.2",
    "uvloop==0.15.3",
)
REPORT = str(Path(__file__).with_name("uvicorn_920_report.py"))
APPS = ["missing_handshake", "send_before_handshake", "raise_before_handshake"]


@pytest.fixture(scope="module")
def python() -> str:
    return environment(*NEEDS)


def report(python: str, guard: str, app: str, implementation: str, times: int):
    command = [python, "-W", "error", REPORT, guard, app, implementation, str(times)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    results = json.loads(done.stdout)
    assert len(results) == times
    return results


@pytest.mark.parametrize("app", APPS)
def test_bare_the_handler_stays_pending(python, app):
    for result in report(python, "bare", app, "websockets", times=2):
        assert result["statuses"] == [500] * 10
        assert len(result["left"]) == 10
        for task in result["left"]:
            assert task.startswith("Task was destroyed but it is pending! <Task pending")
            assert "coro=<WebSocketServerProtocol.handler()" in task


@pytest.mark.parametrize("implementation", ["websockets", "wsproto"])
@pytest.mark.parametrize("app", APPS)
def test_guarded_nothing_is_left(python, app, implementation):
    # The release has no denial extension, so the answer is 403.
    expected = {"statuses": [403] * 10, "left": []}
    assert report(python, "guarded", app, implementation, times=10) == [expected] * 10
