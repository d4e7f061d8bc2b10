"""A process that has served websockets, and forks: signals of the one are not the other's business (D5)."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import TYPE_CHECKING, Any, Callable

import pytest

from asgi_wsguard import Drainer, WebSocketGuardMiddleware

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator

SIGNAL, OTHER = signal.SIGUSR1, signal.SIGUSR2
PATIENCE = 10

pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # threads of other tests


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (SIGNAL, OTHER)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Server:
    """A server that handles signals as hypercorn does. It notes what it sends and hears."""

    def __init__(self, drainer: Drainer) -> None:
        self.seen: list[str] = []
        self._drainer = drainer
        self._guarded = WebSocketGuardMiddleware(self._app, drainer=drainer)

    async def serve(self, client: Callable[[], Awaitable[None]]) -> None:
        """Have a websocket open while the client does something."""
        self._open, self._heard = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (SIGNAL, OTHER):
            loop.add_signal_handler(number, self._hears, number)
        websocket = asyncio.ensure_future(self._guarded({"type": "websocket", "path": "/"}, self._receive, self._send))
        await self._open.wait()
        await asyncio.wait_for(client(), PATIENCE)
        websocket.cancel()
        await asyncio.wait({websocket})
        self._drainer.served()

    async def hears(self) -> None:
        """Wait for the next signal."""
        await self._heard.wait()
        self._heard.clear()

    def _hears(self, number: signal.Signals) -> None:
        self.seen.append(number.name)
        self._heard.set()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        self._open.set()
        await receive()

    async def _receive(self) -> Any:
        await asyncio.get_running_loop().create_future()

    async def _send(self, message: Any) -> None:
        self.seen.append(str(message.get("code", "accept")))


def fork(run: Callable[[], bool]) -> int:
    """Run it in a fork of this process, which exits with 0 if it was true; return the process' id."""
    process = os.fork()
    if not process:
        status = 1
        try:
            status = int(not run())
        finally:
            os._exit(status)
    return process


def status_of(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def test_d5_a_fork_that_serves_nobody_does_not_stop_its_parent() -> None:
    """A worker of a process pool that is terminated, for example."""
    server = Server(Drainer(on_signal=[SIGNAL], grace=0, spread=0))

    def is_terminated() -> bool:
        signal.raise_signal(SIGNAL)
        return True

    async def client() -> None:
        assert status_of(fork(is_terminated)) == 0
        os.kill(os.getpid(), OTHER)
        await server.hears()  # what came before has been heard, too

    asyncio.run(server.serve(client))
    assert server.seen == ["accept", "SIGUSR2", "1012"]


def test_d5_forks_that_serve_hear_their_own_signals_only() -> None:
    drainer = Drainer(on_signal=[SIGNAL], grace=0, spread=0)
    parent = Server(drainer)
    ours, theirs = socket.socketpair()

    def serves() -> bool:
        server = Server(drainer)

        async def client() -> None:
            theirs.send(b"x")
            await server.hears()
            theirs.send(b"x")
            await server.hears()

        asyncio.run(server.serve(client))
        return server.seen == ["accept", "SIGUSR2", "1012", "SIGUSR1"]

    async def client() -> None:
        forks = [fork(serves), fork(serves)]
        for _ in forks:
            assert await asyncio.to_thread(ours.recv, 1)
        for process in forks:
            os.kill(process, OTHER)
            assert await asyncio.to_thread(ours.recv, 1)
        for process in forks:
            os.kill(process, SIGNAL)
            assert await asyncio.to_thread(status_of, process) == 0

    with ours, theirs:
        ours.settimeout(PATIENCE)
        asyncio.run(parent.serve(client))
    assert parent.seen == ["accept", "1012"]
