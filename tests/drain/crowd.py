"""Two hundred clients of a server that is told to stop: what each of them gets, and when."""

from __future__ import annotations

import asyncio
import signal
import time
from dataclasses import dataclass, field

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from asgi_wsguard.probe.servers import Running

CLIENTS = 200
PAUSE = 0.1
"""Seconds between the messages of a busy client."""
PATIENCE = 60.0
"""Seconds. After that the server is taken to hang."""


@dataclass
class Client:
    """One client. The even ones are busy: they send a message, wait for its echo, and send the next."""

    number: int
    acknowledged: int = 0
    code: int = 0
    closed_at: float = 0.0

    @property
    def path(self) -> str:
        return f"/{self.number}"

    async def stay(self, websocket: ClientConnection) -> None:
        """Stay until the websocket is closed."""
        try:
            while self.number % 2 == 0:
                await websocket.send(str(self.acknowledged))
                assert await websocket.recv() == str(self.acknowledged)
                self.acknowledged += 1
                await asyncio.sleep(PAUSE)
            await websocket.recv()
        except ConnectionClosed as closed:
            self.closed_at = time.monotonic()
            self.code = closed.rcvd.code if closed.rcvd else 1006


@dataclass
class Crowd:
    """What became of all of them."""

    clients: list[Client] = field(default_factory=lambda: [Client(number) for number in range(CLIENTS)])
    signalled_at: float = 0.0
    refused: list[str] = field(default_factory=list)
    """How handshakes were refused after the signal."""
    late: list[float] = field(default_factory=list)
    """When handshakes were let in after the signal."""
    gone_at: float = 0.0
    status: int = 0

    @property
    def first(self) -> float:
        """When the first of them was closed."""
        return min(client.closed_at for client in self.clients)

    @property
    def last(self) -> float:
        """When the last of them was closed."""
        return max(client.closed_at for client in self.clients)


def crowd(running: Running) -> Crowd:
    """Let them come, stop the server, and see what becomes of them."""
    return asyncio.run(asyncio.wait_for(_crowd(running), PATIENCE))


async def _crowd(running: Running) -> Crowd:
    seen = Crowd()
    uri = f"ws://127.0.0.1:{running.port}"
    async with asyncio.TaskGroup() as group:
        for client in seen.clients:
            websocket = await connect(uri + client.path, compression=None, close_timeout=1)
            group.create_task(client.stay(websocket))
        await asyncio.sleep(3 * PAUSE)  # the busy are busy
        seen.signalled_at = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        while running.process.poll() is None:
            await _knock(uri, seen)
            await asyncio.sleep(0.05)
        seen.gone_at = time.monotonic()
        seen.status = running.process.returncode
    return seen


async def _knock(uri: str, seen: Crowd) -> None:
    try:
        async with connect(f"{uri}/late", compression=None, open_timeout=2, close_timeout=0.1):
            seen.late.append(time.monotonic())
    except InvalidMessage:
        seen.refused.append("cut")
    except InvalidHandshake as refused:
        seen.refused.append(str(refused))
    except (OSError, TimeoutError, ConnectionClosed) as refused:
        seen.refused.append(type(refused).__name__)
