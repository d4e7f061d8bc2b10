"""The client's side of a play: websockets that write down all that they get."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections import defaultdict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import websockets
from websockets.asyncio.client import ClientConnection, connect

from asgi_wsguard.compare.happened import denied, ended, shortened
from asgi_wsguard.compare.journal import entries
from asgi_wsguard.probe.servers import Running
from harmless.model import seconds


class Talk:
    """All clients of one play."""

    def __init__(self, server: Running, play: str, journal: Path) -> None:
        self.server = server
        self.play = play
        self._journal = journal
        self.got: defaultdict[str, list[str]] = defaultdict(list)

    def url(self, path: str = "/", who: str = "", scheme: str = "ws") -> str:
        """Return where the app is."""
        query = f"{'&' if '?' in path else '?'}who={who}" if who else ""
        return f"{scheme}://127.0.0.1:{self.server.port}/{self.play}{path}{query}"

    def note(self, text: str, who: str = "") -> None:
        """Write down what a client got."""
        self.got[who].append(text)

    async def noted(self, *texts: str, within: float = 90.0) -> None:
        """Wait until the app's journal has these lines, or so many real seconds have passed."""
        deadline = asyncio.get_running_loop().time() + seconds(within) + 2
        while not {text for _, text in entries(self._journal, "note", self.play)}.issuperset(texts):
            if asyncio.get_running_loop().time() > deadline:
                self.note(f"no {' or '.join(texts)} in the journal")
                return
            await asyncio.sleep(0.02)

    async def stop(self, within: float = 30.0) -> None:
        """Send SIGTERM to the server, and wait until it has ended."""
        process = self.server.process
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, seconds(within) + 3)
        except subprocess.TimeoutExpired:
            self.note("the server does not stop")

    @contextlib.asynccontextmanager
    async def connect(self, path: str = "/", who: str = "", **options: Any) -> AsyncIterator[Client]:
        """Connect, and in the end leave, if the connection is open still. A client that is denied gets nothing more."""
        client = Client(self, who)
        fixed = {"ping_interval": None, "compression": None, "max_size": None, "proxy": None}
        options = {**fixed, "open_timeout": seconds(90) + 5, "close_timeout": seconds(100), **options}
        url = self.url(path, who)
        try:
            client.connection = await connect(url, **options)
            if client.connection.subprotocol:
                client.note(f"subprotocol {client.connection.subprotocol}")
        except websockets.InvalidStatus as exc:
            response = exc.response
            client.note(denied(response.status_code, response.headers.raw_items(), bytes(response.body or b"")))
        except (OSError, TimeoutError, websockets.WebSocketException) as exc:
            client.note(f"no handshake: {type(exc).__name__}")
        try:
            yield client
        finally:
            await client.leave()


class Client:
    """One websocket."""

    connection: ClientConnection | None = None

    def __init__(self, talk: Talk, who: str) -> None:
        self._talk = talk
        self._who = who

    def note(self, text: str) -> None:
        """Write down what it got."""
        self._talk.note(text, self._who)

    async def say(self, *messages: str | bytes) -> None:
        """Send."""
        for message in messages:
            with contextlib.suppress(websockets.ConnectionClosed):
                if self.connection is not None:
                    await self.connection.send(message)

    async def hear(self, count: int = 1, within: float = 90.0) -> str | bytes | None:
        """Return the next message, or the last of so many; `None` if the connection ends or nothing comes."""
        message = None
        for _ in range(count):
            message = await self._hear(seconds(within) + 1)
            if message is None:
                break
        return message

    async def hear_all(self, within: float = 90.0) -> None:
        """Receive until the connection ends."""
        while await self.hear(within=within) is not None:
            pass

    async def _hear(self, patience: float) -> str | bytes | None:
        if self.connection is None:
            return None
        try:
            async with asyncio.timeout(patience):
                message = await self.connection.recv()
        except TimeoutError:
            self.note("nothing")
        except websockets.ConnectionClosed:
            self._note_end()
        else:
            self.note(shortened(message))
            return message
        return None

    async def leave(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait for the end."""
        if self.connection is not None:
            await self.connection.close(code, reason)
            self._note_end()

    async def vanish(self) -> None:
        """Cut the connection, with no close frame."""
        if self.connection is not None:
            self.connection.transport.abort()
            await self.connection.wait_closed()
            self.note("cut")
            self.connection = None

    def _note_end(self) -> None:
        if self.connection is not None:
            self.note(ended(self.connection.close_code, self.connection.close_reason))
            self.connection = None


async def warm_up(server: Running) -> None:
    """Have a first connection behind the guard, which takes longer than others."""
    with contextlib.suppress(OSError, websockets.WebSocketException):
        async with connect(f"ws://127.0.0.1:{server.port}/guarded/warm-up", proxy=None, close_timeout=1):
            pass
