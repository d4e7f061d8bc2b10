"""What the author of a test sees with each client: `python tests/clients/seen.py` plays all, and writes `seen.json`.

The tests compare with that file, and the docs show it.
"""

from __future__ import annotations

import datetime
import importlib
import importlib.metadata
import json
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from asgi_wsguard.probe.scenarios import SCENARIOS

HERE = Path(__file__).parent
FILE = HERE / "seen.json"
CLIENTS = ["starlette", "litestar", "httpx_ws", "asgiref", "channels", "falcon", "quart", "session"]
BARE = [
    "returns",
    "receives-and-returns",
    "raises",
    "starts-and-returns",
    "returns-inside-body",
    "accepts-and-returns",
    "accepts-and-raises",
]
"""Their apps end by themselves, without the guard, too."""
LIMIT = 150.0
"""Seconds for all the scenarios of a client; one of them alone may take `play.PATIENCE`."""

Results = dict[str, dict[str, Any]]


def results(client: str, kind: str) -> Results:
    """Play the scenarios through the client, in a process of its own, as nothing else ends a client that hangs."""
    command = [sys.executable, str(HERE / "play.py"), client, kind, *(BARE if kind == "bare" else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True)
        lines = done.stdout
    except subprocess.TimeoutExpired as error:
        lines = (error.stdout or b"").decode()
    except subprocess.CalledProcessError as error:
        raise RuntimeError(f"{' '.join(command)}:\n{error.stderr}") from None
    played = [json.loads(line) for line in lines.splitlines()]
    return {result.pop("scenario"): result for result in played}


def start(pool: ThreadPoolExecutor) -> dict[tuple[str, str], Future[Results]]:
    """Play everything."""
    return {(client, kind): pool.submit(results, client, kind) for kind in ("guarded", "bare") for client in CLIENTS}


def told(result: dict[str, Any]) -> str:
    """Return what the test's author sees."""
    seen: str = f"cannot {result['cannot']}" if "cannot" in result else result["told"]
    return seen


def version(client: str) -> str:
    package: str = importlib.import_module(f"with_{client}").PACKAGE
    return f"{package} {importlib.metadata.version(package)}"


def main() -> None:
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        futures = start(pool)
        played = {key: future.result() for key, future in futures.items()}
    depends = {scenario.name for scenario in SCENARIOS if scenario.raises is None}
    seen = {
        kind: {
            name: {client: "either" if name in depends else told(played[client, kind][name]) for client in CLIENTS}
            for name in names
        }
        for kind, names in (("guarded", [scenario.name for scenario in SCENARIOS]), ("bare", BARE))
    }
    date = datetime.date.today().isoformat()
    everything = {"date": date, "versions": {client: version(client) for client in CLIENTS}, **seen}
    FILE.write_text(json.dumps(everything, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
