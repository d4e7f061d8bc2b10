"""Messages of up to 64 MiB, in both directions, bare and guarded: they arrive, and the guard makes no copy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from websockets.sync.client import connect

from asgi_wsguard.probe.servers import SERVERS, running
from harness.forks import forked as forked

SIZE = 64 * 2**20
FRAME = 8 * 2**20
"""granian (2.8.7) takes no frame of more than 16 MiB."""
OPTIONS = {
    "uvicorn-sansio": f"--ws-max-size {SIZE}",
    "uvicorn-websockets": f"--ws-max-size {SIZE}",
    "uvicorn-wsproto": f"--ws-max-size {SIZE}",
    "hypercorn-asyncio": "-c {config}",
    "hypercorn-trio": "-c {config}",
    "daphne": f"--websocket-max-message-size {SIZE} --websocket-max-frame-size {SIZE}",
    "granian": "",
    "gunicorn-asgi": f"--websocket-max-message-size {SIZE}",
}
BY_NAME = {server.name: server for server in SERVERS}


@pytest.mark.parametrize("app", ["bare", "guarded"])
@pytest.mark.parametrize("name", OPTIONS)
def test_it_comes_back(name: str, app: str, tmp_path: Path) -> None:
    config = tmp_path / "hypercorn.toml"
    config.write_text(f"websocket_max_message_size = {SIZE}\n")
    server = BY_NAME[name]
    server = replace(server, command=f"{server.command} {OPTIONS[name]}".replace("{config}", str(config)))
    with (
        running(server, app=f"big_app:{app}", env={"PYTHONPATH": str(Path(__file__).parent)}) as served,
        connect(f"ws://127.0.0.1:{served.port}/", max_size=None, compression=None) as websocket,
    ):
        frames = 1 if name == "gunicorn-asgi" else SIZE // FRAME  # it unmasks in Python, 6 MB a second
        for part in ("ä" * (FRAME // 2), b"x" * FRAME):
            websocket.send([part] * frames)
            assert websocket.recv(timeout=30) == part * frames
        websocket.send("small")  # it is not closed, as it would be after a copy
        assert websocket.recv(timeout=30) == "small"
