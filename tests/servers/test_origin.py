"""uvicorn's issue 920, where this project began: 0.13.2 leaves a task behind for an app that does not answer."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from test_uvicorn_releases import RELEASES

REPORT = str(Path(__file__).with_name("origin_report.py"))
APPS = ["missing_handshake", "send_before_handshake", "raise_before_handshake"]


@pytest.fixture(scope="module")
def python() -> str:
    (origin,) = (release for release in RELEASES if release.version == "0.13.2")
    return origin.environment()


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
