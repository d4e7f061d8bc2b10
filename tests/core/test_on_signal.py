"""`Drainer(on_signal=...)`: what the server hears of a signal, and when. The signals are real."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import multiprocessing
import os
import signal
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable, ClassVar

import anyio
import pytest

from asgi_wsguard import Drainer, WebSocketGuardMiddleware
from asgi_wsguard.drain.wakeup import Wakeup
from asgi_wsguard.testing import StrictServer
from harness.backends import on_asyncio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator


SIGNAL, OTHER = signal.SIGUSR1, signal.SIGUSR2
CLOSED = "close 1012"
HEARS = "the server hears"

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (SIGNAL, OTHER)}
    yield
    for server in Server.made:
        server.drainer.served()
    Server.made.clear()
    for number, handler in before.items():
        signal.signal(number, handler)


class Server:
    """A server, and what it sends and hears."""

    made: ClassVar[list[Server]] = []

    def __init__(self, **options: Any) -> None:
        self.made.append(self)
        self.seen: list[str] = []
        self.refuses = False
        self.drainer = Drainer(on_signal=[SIGNAL], **{"grace": 0, "spread": 0, **options})
        self.guarded = WebSocketGuardMiddleware(self._app, drainer=self.drainer)
        self.open = anyio.Event()
        self.heard = anyio.Event()
        self.scope: dict[str, Any] = {"type": "websocket", "path": "/"}

    def hears(self, *_: object) -> None:
        """Handle the signal."""
        self.seen.append(HEARS)
        self.heard.set()

    async def serve(self, client: Callable[[], Awaitable[None]]) -> None:
        """Have a websocket open while the client does something."""

        async def receive() -> Any:
            await anyio.sleep_forever()

        async def send(message: Any) -> None:
            self.seen.append(f"close {message['code']}" if "code" in message else message["type"])
            if self.refuses and "code" in message:
                raise ValueError("invalid close code")

        async def websocket() -> None:
            with contextlib.suppress(ValueError):  # the crash path
                await self.guarded({**self.scope}, receive, send)

        async with anyio.create_task_group() as group:
            group.start_soon(websocket)
            with anyio.fail_after(5):
                await self.open.wait()
                await client()
            group.cancel_scope.cancel()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        self.open.set()
        await receive()

    async def is_told(self) -> None:
        """Be told to stop, and wait until it is heard."""
        signal.raise_signal(SIGNAL)
        await self.heard.wait()


async def test_d5_the_websockets_are_drained_first() -> None:
    server = Server()
    signal.signal(SIGNAL, server.hears)
    await server.serve(server.is_told)
    assert server.seen == ["websocket.accept", CLOSED, HEARS]
    assert signal.getsignal(SIGNAL) == server.hears


async def test_d5_a_second_websocket_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    become(monkeypatch, _target=serve_worker, _kwargs={"shutdown_event": threading.Event()})
    server = Server()
    signal.signal(SIGNAL, server.hears)

    async def client() -> None:
        server.open = anyio.Event()
        await server.serve(server.is_told)

    await server.serve(client)
    assert server.seen == ["websocket.accept", "websocket.accept", CLOSED, CLOSED, HEARS]
    assert signal.getsignal(SIGNAL) == server.hears


async def test_d5_a_crash_path_has_the_time_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """O11: daphne refuses 1012, and looks for apps that have crashed once a second."""
    server = Server()
    server.refuses = True
    signal.signal(SIGNAL, server.hears)

    async def sleep(seconds: float) -> None:
        server.seen.append(f"{seconds} s")

    monkeypatch.setattr("asgi_wsguard.drain.sleep", sleep)
    await server.serve(server.is_told)
    assert server.seen == ["websocket.accept", CLOSED, "1.1 s", HEARS]


@on_asyncio
async def test_d5_an_event_loops_handler_is_held_back_too() -> None:
    server = Server()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(SIGNAL, server.hears)
    loop.add_signal_handler(OTHER, server.seen.append, "another signal")

    async def client() -> None:
        signal.raise_signal(OTHER)
        while "another signal" not in server.seen:
            await asyncio.sleep(0)
        await server.is_told()
        server.heard = anyio.Event()
        await server.is_told()

    await server.serve(client)
    assert server.seen == ["websocket.accept", "another signal", CLOSED, HEARS, HEARS]
    loop.remove_signal_handler(OTHER)
    assert loop.remove_signal_handler(SIGNAL)


async def test_d5_a_second_signal_skips_the_wait() -> None:
    server = Server(grace=60)
    signal.signal(SIGNAL, server.hears)

    async def client() -> None:
        signal.raise_signal(SIGNAL)
        while not server.drainer.draining:
            await anyio.sleep(0)
        assert server.seen == ["websocket.accept"]
        signal.raise_signal(SIGNAL)
        await server.heard.wait()

    await server.serve(client)
    assert server.seen[:3] == ["websocket.accept", HEARS, HEARS]


async def test_d5_a_fork_does_not_drain(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    signal.signal(SIGNAL, server.hears)

    async def client() -> None:
        monkeypatch.setattr(os, "getpid", lambda: 0)
        await server.is_told()
        monkeypatch.undo()
        assert not server.drainer.draining

    await server.serve(client)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_d5_when_the_event_loop_has_ended_the_server_hears_at_once(backend: str) -> None:
    async def main() -> Server:
        server = Server()
        signal.signal(SIGNAL, server.hears)
        await server.serve(functools.partial(anyio.sleep, 0))
        return server

    server = anyio.run(main, backend=backend)
    server.heard = SimpleNamespace(set=lambda: None)  # type: ignore[assignment]
    signal.raise_signal(SIGNAL)
    assert server.seen[-1] == HEARS
    assert signal.getsignal(SIGNAL) == server.hears


async def test_d5_with_the_lifespan_the_handlers_go() -> None:
    server = Server(grace=60)
    signal.signal(SIGNAL, server.hears)

    async def app(*_: object) -> None:
        assert signal.getsignal(SIGNAL) != server.hears

    async def client() -> None:
        lifespan = WebSocketGuardMiddleware(app, drainer=server.drainer)
        await lifespan({"type": "lifespan"}, anyio.sleep_forever, anyio.sleep)  # type: ignore[arg-type]
        assert signal.getsignal(SIGNAL) == server.hears
        assert HEARS not in server.seen

    await server.serve(client)


async def test_d5_a_signal_that_waits_is_not_lost_with_the_lifespan() -> None:
    server = Server(grace=60)
    signal.signal(SIGNAL, server.hears)

    async def client() -> None:
        signal.raise_signal(SIGNAL)
        server.drainer.served()
        await server.heard.wait()

    await server.serve(client)
    assert server.seen[:2] == ["websocket.accept", HEARS]


async def test_d5_a_handler_that_calls_ours_does_not_keep_the_server_from_hearing() -> None:
    server = Server()
    signal.signal(SIGNAL, server.hears)

    async def client() -> None:
        ours: Any = signal.getsignal(SIGNAL)
        signal.signal(SIGNAL, lambda *signalled: ours(*signalled))
        await server.is_told()

    await server.serve(client)
    assert server.seen == ["websocket.accept", CLOSED, HEARS]


async def test_d5_a_handler_that_came_later_stays() -> None:
    server = Server()

    async def client() -> None:
        signal.signal(SIGNAL, server.hears)
        server.drainer.served()
        assert signal.getsignal(SIGNAL) == server.hears

    await server.serve(client)


async def test_d5_a_drain_that_fails_does_not_hold_up_the_server(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the drain is blocked")

    monkeypatch.setattr(Drainer, "drain", fail)
    server = Server()
    signal.signal(SIGNAL, server.hears)
    await server.serve(server.is_told)
    assert "the drain is blocked" in caplog.text
    assert "The server stops now" in caplog.text


async def test_d5_signals_are_left_alone_unless_named() -> None:
    server = Server()
    server.drainer = Drainer()
    server.guarded = WebSocketGuardMiddleware(server._app, drainer=server.drainer)
    before = signal.getsignal(SIGNAL)

    async def client() -> None:
        assert signal.getsignal(SIGNAL) == before

    await server.serve(client)


@pytest.mark.parametrize(("client", "warns"), [(("127.0.0.1", 50000), ["WARNING"]), (("testclient", 50000), [])])
def test_d5_in_another_thread_it_warns_once(client: Any, warns: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """But not of a test client that runs the app in a thread."""
    servers: list[Server] = []

    async def main() -> None:
        servers.append(Server())
        servers[0].scope["client"] = client
        for _ in range(2):
            await servers[0].serve(functools.partial(anyio.sleep, 0))
        servers[0].drainer.served()

    before = signal.getsignal(SIGNAL)
    thread = threading.Thread(target=anyio.run, args=[main])
    thread.start()
    thread.join()
    assert signal.getsignal(SIGNAL) == before
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == warns
    what = "SIGUSR1 will not drain the websockets: the server does not run in the main thread"
    assert (what in caplog.text) is bool(warns)


async def test_d5_a_handler_that_cannot_be_put_back_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    server = Server()
    signal.signal(SIGNAL, server.hears)
    monkeypatch.setattr(signal, "getsignal", lambda number: None)
    await server.serve(server.is_told)
    assert server.seen[:2] == ["websocket.accept", HEARS]
    assert "its handler is not a Python function" in caplog.text


@pytest.mark.parametrize("wrong", [signal.SIGTERM, [1000], ["SIGTERM"], None, [signal.SIGKILL]])
def test_d5_what_is_no_signal_is_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="on_signal must be signals"):
        Drainer(on_signal=wrong)


# Workers that get no signal


def serve_worker() -> None:
    """Stand for what hypercorn's children run."""


serve_worker.__module__ = "hypercorn.asyncio.run"


def become(monkeypatch: pytest.MonkeyPatch, **process: Any) -> None:
    """Make this process look like a child."""
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: "the parent")
    monkeypatch.setattr(multiprocessing, "current_process", lambda: SimpleNamespace(**process))


async def test_d5_a_worker_that_asks_an_event_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    event = multiprocessing.get_context("spawn").Event()
    become(monkeypatch, _target=serve_worker, _kwargs={"shutdown_event": event})
    server = Server()
    held: list[Any] = []

    async def client() -> None:
        server.open = anyio.Event()
        held.append(event.is_set)
        await server.serve(another)

    async def another() -> None:
        assert [event.is_set] == held
        assert not event.is_set()
        await anyio.sleep(0.01)
        assert not server.drainer.draining
        event.set()
        while not event.is_set():
            await anyio.sleep(0)
        server.hears()
        assert "is_set" not in vars(event)

    await server.serve(client)
    assert server.seen == ["websocket.accept", "websocket.accept", CLOSED, CLOSED, HEARS]


async def test_d5_with_the_lifespan_a_worker_hears_of_its_event_again(monkeypatch: pytest.MonkeyPatch) -> None:
    event = threading.Event()
    become(monkeypatch, _target=serve_worker, _kwargs={"shutdown_event": event})
    server = Server()

    async def client() -> None:
        server.drainer.served()
        event.set()
        assert event.is_set()

    await server.serve(client)


async def test_d5_a_parent_that_signals_the_slower_worker_does_not_cut_it(monkeypatch: pytest.MonkeyPatch) -> None:
    event = multiprocessing.get_context("spawn").Event()
    become(monkeypatch, _target=serve_worker, _kwargs={"shutdown_event": event})
    server = Server(spread=0.1)
    signal.signal(SIGNAL, server.hears)

    async def client() -> None:
        event.set()
        assert not event.is_set()
        for _ in range(2):
            signal.raise_signal(SIGNAL)
        while not event.is_set():
            await anyio.sleep(0)
        assert server.seen == ["websocket.accept", CLOSED]
        server.drainer.served()

    await server.serve(client)
    assert server.seen == ["websocket.accept", CLOSED, HEARS, HEARS]


@pytest.mark.parametrize(
    ("process", "handler", "warns"),
    [
        ({"_target": serve_worker, "_kwargs": {"shutdown_event": threading.Event()}}, signal.SIG_DFL, False),
        ({"_target": serve_worker, "_kwargs": {}}, signal.SIG_DFL, True),
        ({"_target": print, "_kwargs": {"shutdown_event": threading.Event()}}, signal.SIG_DFL, True),
        ({}, signal.SIG_IGN, False),
    ],
)
async def test_d5_a_worker_that_nobody_tells_warns(
    process: Any, handler: Any, warns: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    become(monkeypatch, **process)
    signal.signal(SIGNAL, handler)
    server = Server()

    async def client() -> None:
        server.drainer.served()

    await server.serve(client)
    assert ("in the parent process only" in caplog.text) is warns


# The wakeup file descriptor


def current() -> int:
    """Return the wakeup file descriptor."""
    found = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(found)
    return found


@on_asyncio
async def test_d5_it_is_put_back_and_nothing_is_lost() -> None:
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()
    loop.add_signal_handler(OTHER, heard.set)
    before = current()
    wakeup = Wakeup([SIGNAL])
    for _ in range(2):
        wakeup.take()
    assert wakeup._pair is not None
    reader = wakeup._pair[0].fileno()
    assert current() != before
    signal.raise_signal(OTHER)
    wakeup.put_back()
    assert current() == before
    await asyncio.wait_for(heard.wait(), 5)
    assert not loop.remove_reader(reader)
    loop.remove_signal_handler(OTHER)


@on_asyncio
async def test_d5_who_took_our_place_keeps_it() -> None:
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(SIGNAL, print)
    wakeup = Wakeup([SIGNAL])
    wakeup.take()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    wakeup.put_back()
    assert current() == writer
    await asyncio.sleep(0)
    wakeup.put_back()  # nothing to do
    assert current() == writer
    loop.remove_signal_handler(SIGNAL)
    os.close(reader)
    os.close(writer)


@on_asyncio
async def test_d5_where_there_is_none_none_is_set() -> None:
    wakeup = Wakeup([SIGNAL])
    wakeup.take()
    assert current() == -1
    wakeup.put_back()
    assert current() == -1


def test_d5_an_event_loop_that_has_ended_hears_nothing() -> None:
    wakeup = Wakeup([SIGNAL])

    async def main() -> None:
        asyncio.get_running_loop().add_signal_handler(SIGNAL, print)
        wakeup.take()
        wakeup.take()

    asyncio.run(main())
    wakeup.put_back()
    assert current() == -1


@on_asyncio
async def test_d5_what_is_closed_is_not_put_back() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    wakeup = Wakeup([SIGNAL])
    wakeup.take()
    os.close(writer)
    os.close(reader)
    wakeup.put_back()
    assert current() == -1


@on_asyncio
async def test_d5_without_file_descriptors_the_client_has_its_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left() -> None:
        raise OSError(24, "Too many open files")

    async def never(*_: Any) -> None:
        raise AssertionError("it was called")

    monkeypatch.setattr("socket.socketpair", none_left)
    drainer = Drainer(on_signal=[SIGNAL])
    guarded = WebSocketGuardMiddleware(never, drainer=drainer, max_connections=1)
    for _ in range(2):  # the second finds nothing of the first
        server = StrictServer("/ws")
        with pytest.raises(OSError, match="Too many"):
            await server.run(guarded)
        assert server.client.denial is not None
        assert server.client.denial.status == 500
    assert drainer.connections == ()
