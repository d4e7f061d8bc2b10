"""Programs that end while websockets are open: `python -m harness.shutdown FOLDER HOW...` runs each in each kind.

Each is a fork of one interpreter that has imported everything, and ends as that would. What it prints and its status
are in the folder.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Callable, NoReturn

import anyio
import trio

from asgi_wsguard import Drainer, WebSocketGuardMiddleware
from harness.messages import ACCEPT, Receive, Send


async def receives(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await receive()


async def waits(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await anyio.sleep_forever()


async def is_undecided(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await anyio.sleep_forever()


async def sends(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    await send({"type": "websocket.send", "text": "to a client that does not read"})


async def cleans_up(scope: Any, receive: Receive, send: Send) -> None:
    await receive()
    await send(ACCEPT)
    try:
        await receive()
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.01)


APPS = (receives, waits, is_undecided, sends, cleans_up)
DRAINER = Drainer()  # a global variable, as in an app, so that the connections last until the interpreter has ended
LIMITS: dict[str, Any] = dict.fromkeys(("idle_timeout", "max_lifetime", "send_timeout", "cleanup_timeout"), 60)


class Server:
    def __init__(self) -> None:
        self._receiving = self._awaited = 0
        self._ahead = anyio.Event()

    async def open(self) -> None:
        """Wait until all of them are open, and the guard receives ahead of those apps that do not."""
        await self._ahead.wait()
        print("open")

    def connections(self, kind: str) -> list[Coroutine[Any, Any, None]]:
        """Return the websockets, to be awaited."""
        self._awaited = 2 if kind == "bare" else len(APPS)
        options = {**LIMITS, "drainer": DRAINER} if kind == "limited" else {}
        apps: list[Any] = [app if kind == "bare" else WebSocketGuardMiddleware(app, **options) for app in APPS]
        return [app({"type": "websocket", "path": "/"}, self._receive(), self._send) for app in apps]

    def _receive(self) -> Receive:
        first = True

        async def receive() -> Any:
            nonlocal first
            if first:
                first = False
                return {"type": "websocket.connect"}
            self._receiving += 1
            if self._receiving == self._awaited:
                self._ahead.set()
            await anyio.sleep_forever()

        return receive

    async def _send(self, message: Any) -> None:
        if "text" in message:
            await anyio.sleep_forever()


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


async def on_asyncio(how: str, kind: str) -> Any:
    server = Server()
    tasks = [asyncio.ensure_future(connection) for connection in server.connections(kind)]
    await server.open()
    loop = asyncio.get_running_loop()
    call: dict[str, Callable[[], Any]] = {"exit": sys.exit, "interrupt": interrupt, "stop": loop.stop}
    if how in call:
        loop.call_soon(call[how])
        await asyncio.sleep(60)
    return tasks


async def on_trio(how: str, kind: str) -> None:
    async with trio.open_nursery() as nursery:
        server = Server()
        for connection in server.connections(kind):
            nursery.start_soon(lambda connection=connection: connection)
        await server.open()
        if how == "trio cancel":
            nursery.cancel_scope.cancel()
        elif how == "trio interrupt":
            signal.raise_signal(signal.SIGINT)
            await trio.sleep(60)
        else:
            raise KeyError("the nursery's own")


def main(how: str, kind: str) -> None:
    if how.startswith("trio"):
        trio.run(on_trio, how, kind)
    elif how in ("abandon", "close"):
        loop = asyncio.new_event_loop()
        tasks = loop.run_until_complete(on_asyncio(how, kind))
        if how == "close":
            loop.close()
        globals()["kept"] = loop, tasks  # until the interpreter has ended
    else:
        asyncio.run(on_asyncio(how, kind))


def fork_into(name: Path) -> bool:
    """Return `True` in a fork that writes to files of this name; in the parent, wait for it."""
    if not (child := os.fork()):
        for stream in (sys.stdout, sys.stderr):
            with open(f"{name}.{stream.name[1:-1]}", "wb") as file:
                os.dup2(file.fileno(), stream.fileno())
        return True
    _, status = os.waitpid(child, 0)
    Path(f"{name}.status").write_text(str(os.waitstatus_to_exitcode(status)))
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also in the background of a shell, which ignores it
    for how, kind in itertools.product(sys.argv[2:], ("bare", "guarded", "limited")):
        if fork_into(Path(sys.argv[1], f"{how} {kind}")):
            main(how, kind)
            break  # and the interpreter ends
