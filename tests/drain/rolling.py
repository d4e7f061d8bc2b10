"""Two instances behind nginx, and clients that come again when they are closed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from asgi_wsguard.probe.servers import answers, stop
from harness.environments import program

CONFIG = Path(__file__).parents[2] / "docs" / "deploy" / "nginx.conf"
PAUSE = 0.1
"""Seconds between the messages of a client."""

MAIN = """
daemon off;
pid {folder}/pid;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    include {folder}/app.conf;
}}
"""


@contextlib.contextmanager
def nginx(port: int, instances: tuple[int, int], folder: Path) -> Iterator[None]:
    """Run nginx with the file of the docs, on these ports."""
    config = CONFIG.read_text()
    for shown, used in (("listen 80;", port), (":8001 ", instances[0]), (":8002 ", instances[1])):
        assert config.count(shown) == 1
        config = config.replace(shown, shown.replace("".join(filter(str.isdigit, shown)), str(used)))
    (folder / "app.conf").write_text(config)
    (folder / "nginx.conf").write_text(MAIN.format(folder=folder))
    log = folder / "log"
    command = [program("nginx", "nginx-light"), "-e", str(log), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        deadline = time.monotonic() + 20
        while not answers(port):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        yield
    finally:
        stop(process)


@dataclass
class Visitor:
    """A client that sends its messages one by one, and each until it is acknowledged."""

    number: int
    acknowledged: list[str] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    """What its websockets were closed with."""
    returned: list[float] = field(default_factory=list)
    """When it was in again after that."""

    async def visit(self, uri: str, over: asyncio.Event) -> None:
        """Come, and come again, until it is over. A handshake that is refused raises."""
        while not over.is_set():
            async with connect(uri, compression=None, close_timeout=1) as websocket:
                if self.codes:
                    self.returned.append(time.monotonic())
                try:
                    await self._talk(websocket, over)
                except ConnectionClosed as closed:
                    self.codes.append(closed.rcvd.code if closed.rcvd else 1006)

    async def _talk(self, websocket: ClientConnection, over: asyncio.Event) -> None:
        while not over.is_set():
            message = f"{self.number}-{len(self.acknowledged)}"
            await websocket.send(message)
            assert await websocket.recv() == message
            self.acknowledged.append(message)
            await asyncio.sleep(PAUSE)
