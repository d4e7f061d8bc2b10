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


def ends(how: str, kind: str) -> tuple[int, Counter[str]]:
    """Return the status of a program that ends in this way, and how often it says each of these."""
    # Deprecations are not the point: of anyio's or trio's, they depend on what is called first.
    command = [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-m", "harness.shutdown", how, kind]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), str(TESTS.parent)))}
    ended = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=30)
    assert ended.stdout == "open\n", ended.stderr
    return ended.returncode, Counter({text: ended.stderr.count(text) for text in TOLD})


@pytest.mark.parametrize("how", HOW)
def test_e7_at_the_end_of_the_interpreter(how: str) -> None:
    status, told = ends(how, "bare")
    guarded = ends(how, "guarded")
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
