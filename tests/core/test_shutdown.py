"""The interpreter ends while websockets are open: it says nothing that it does not say without the guard (E7)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
from harness.messages import ACCEPT, Receive, Send

HOW = ["return", "exit", "interrupt", "stop", "abandon", "close", "trio cancel", "trio interrupt", "trio raise"]
TOLD = ("Traceback", "Exception ignored", "was destroyed", "never awaited", "never retrieved", "Warning", "[wsguard")
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with what the programs left."""
    folder = tmp_path_factory.mktemp("ended")
    # Deprecations are not the point: of anyio's or trio's, they depend on what is called first.
    options = ["-X", "dev", "-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *options, "-m", "harness.shutdown", str(folder), *HOW]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
    subprocess.run(command, env=env, check=True, timeout=120)
    return folder


def left(folder: Path, name: str) -> tuple[int, Counter[str]]:
    """Return the status of a program, and how often it says each of these."""
    status, out, err = (Path(folder, f"{name}.{kind}").read_text() for kind in ("status", "stdout", "stderr"))
    assert out == "open\n", err
    return int(status), Counter({text: err.count(text) for text in TOLD})


@pytest.mark.parametrize("kind", ["guarded", "limited"])
@pytest.mark.parametrize("how", HOW)
def test_e7_at_the_end_of_the_interpreter(ended: Path, how: str, kind: str) -> None:
    status, told = left(ended, f"{how} bare")
    guarded = left(ended, f"{how} {kind}")
    assert (guarded[0], guarded[1] - told) == (status, Counter())


def test_e7_when_asyncio_cannot_describe_a_timer_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its debug mode does at each `cancel()`, and needs a module that is gone at the end of the interpreter."""

    def cancel(timer: asyncio.TimerHandle) -> None:
        raise ImportError("sys.meta_path is None, Python is likely shutting down")

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        call = StrictServer("/ws").run(WebSocketGuardMiddleware(app))
        call.send(None)
        with monkeypatch.context() as patched:
            patched.setattr(asyncio.TimerHandle, "cancel", cancel)
            call.close()

    asyncio.run(main())
