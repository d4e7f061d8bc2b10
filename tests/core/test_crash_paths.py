"""What the server does itself: its crash path (H1, H2), its disconnects (E1, E2), its context."""

from __future__ import annotations

import contextvars
import functools
import pickle
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import ClientDisconnected, ConnectionReport, WebSocketGuardMiddleware
from asgi_wsguard.integrations.crash_paths import crash_path_is_sound
from asgi_wsguard.testing import Denial, StrictServer
from harness.apps import AppError
from harness.clock import in_virtual_time
from harness.log import Log
from harness.messages import ACCEPT, CLOSE, DISCONNECT, TEXT, Receive, Send
from harness.serving import serve_on
from harness.timed import Timed


async def reported(app: Any, server: StrictServer) -> list[ConnectionReport]:
    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    await serve_on(app, server, observers=[observe])
    return reports


# H2: whose crash path


class Wrapped:
    def __init__(self, send: Any) -> None:
        self.send = send

    async def __call__(self, message: Any) -> None:
        await self.send(message)

    async def method(self, message: Any) -> None:
        await self.send(message)


def wrappers(send: Any) -> list[Any]:
    async def closure(message: Any) -> None:
        await send(message)

    return [send, closure, functools.partial(send), Wrapped(send), Wrapped(send).method, Wrapped(closure)]


SOUND = ("daphne.server", "gunicorn.asgi.websocket", "falcon.testing.helpers")


@pytest.mark.parametrize("module", [*SOUND, "uvicorn.protocols", "falcon.asgi", "", None])
def test_h2_a_server_is_known_through_what_wraps_its_send(module: Any) -> None:
    async def send(message: Any) -> None: ...

    send.__module__ = module
    for wrapped in wrappers(send):
        assert crash_path_is_sound(wrapped) is (module in SOUND)


def test_h2_in_doubt_it_is_not() -> None:
    class Odd:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError

    def unset() -> Any:
        async def send(message: Any) -> None:
            await later(message)

        if send is None:
            later = send
        return send

    for send in (Odd(), unset(), None, 1, print, [].append):
        assert not crash_path_is_sound(send)
    endless: Any = Wrapped(None)
    endless.send = endless
    assert not crash_path_is_sound(endless)


@pytest.mark.parametrize("option", ["auto", "close", "raise"])
@pytest.mark.parametrize("sound", [True, False])
@pytest.mark.parametrize("raises", [True, False])
@in_virtual_time
async def test_h1_h2_where_the_server_cannot_deny(log: Log, option: str, sound: bool, raises: bool) -> None:
    error = AppError()

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        if raises:
            raise error

    async def send(message: Any) -> None:
        await server.send(message)

    send.__module__ = "daphne.server" if sound else "uvicorn"
    server = Timed(denial_extension=False)
    raised: BaseException | None = None
    try:
        await WebSocketGuardMiddleware(app, without_extension=option)(server.scope, server.receive, send)
    except Exception as exc:
        raised = exc
    left = option == "raise" or (option == "auto" and sound and raises)
    assert server.client.denial == (None if left else Denial(403, complete=True))
    assert (raised is error) is raises
    assert (raised is None) is not (raises or left)
    assert ("The answer is left to the server." in log.line()) is left


# E2: whose disconnect


class WithPath:
    """An app for two connections: Ann's sends to Bob's, whose client has left."""

    def __init__(self, wrap: Any = None) -> None:
        self.bobs: Any = None
        self.bob_left = anyio.Event()
        self.wrap = wrap

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        if scope["path"] == "/ws/bob":
            self.bobs = send
            await receive()
            self.bob_left.set()
            return
        await self.bob_left.wait()
        try:
            await self.bobs(TEXT)
        except OSError as exc:
            if self.wrap is None:
                raise
            raise self.wrap from exc


@pytest.mark.parametrize("ann_left", [True, False])
@in_virtual_time
async def test_e2_the_disconnect_of_another_connection(log: Log, ann_left: bool) -> None:
    app = WithPath()
    ann, bob = Timed("/ws/ann"), Timed("/ws/bob")
    guarded = WebSocketGuardMiddleware(app)

    async def run_ann() -> None:
        with pytest.raises(ClientDisconnected) as caught:
            await ann.run(guarded)
        assert caught.value.path == "/ws/bob"

    async with anyio.create_task_group() as group:
        group.start_soon(bob.run, guarded)
        await anyio.sleep(1)
        group.start_soon(run_ann)
        await anyio.sleep(1)
        if ann_left:
            ann.client_leaves()
            await anyio.sleep(1)
        bob.client_leaves()
    whose = "let out the disconnect of '/ws/bob', to which it sent,"
    assert log.line().startswith(f"ERROR [wsguard-O2] '/ws/ann': The app {whose}")
    assert ann.client.close_code == (None if ann_left else 1011)


@in_virtual_time
async def test_e2_starlettes_disconnect_that_was_made_of_anothers(log: Log) -> None:
    websockets = pytest.importorskip("starlette.websockets")
    app = WithPath(wrap=websockets.WebSocketDisconnect(1006))
    guarded = WebSocketGuardMiddleware(app)
    ann, bob = Timed("/ws/ann"), Timed("/ws/bob")

    async def run_ann() -> None:
        with pytest.raises(websockets.WebSocketDisconnect):
            await ann.run(guarded)

    async with anyio.create_task_group() as group:
        group.start_soon(bob.run, guarded)
        await anyio.sleep(1)
        group.start_soon(run_ann)
        await anyio.sleep(1)
        ann.client_leaves()
        bob.client_leaves()
    assert "let out the disconnect of '/ws/bob'" in log.line()


@in_virtual_time
async def test_e2_starlettes_word_for_several_senders() -> None:
    """Since Starlette 1.10 the second task to notice gets a RuntimeError; of one that closed itself it is a mistake."""
    websockets = pytest.importorskip("starlette.websockets")
    kind = getattr(websockets, "WebSocketDisconnected", None)
    if kind is None:
        pytest.skip("this Starlette has none")

    async def leaver(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await receive()
        await receive()
        raise kind

    async def closer(scope: Any, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send(CLOSE)
        raise kind

    server = Timed()
    server.client_leaves()
    await serve_on(leaver, server)
    with pytest.raises(kind):
        await serve_on(closer, Timed())


def test_e2_the_error_can_be_pickled() -> None:
    error = ClientDisconnected("over", "/ws", object())
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.path) == ("over", "/ws")
    assert copy.is_of("anything")


# What the server has waiting


@in_virtual_time
async def test_h2_the_connect_is_received_before_the_guard_answers() -> None:
    """The specification has it so, and Falcon's test client insists."""

    class Insisting(Timed):
        received = 0

        async def receive(self) -> dict[str, Any]:
            self.received += 1
            return await super().receive()

        async def send(self, message: Any) -> None:
            assert self.received
            await super().send(message)

    async def raises(scope: Any, receive: Receive, send: Send) -> None:
        raise AppError

    async def returns(scope: Any, receive: Receive, send: Send) -> None: ...

    server = Insisting()
    with pytest.raises(AppError):
        await serve_on(raises, server)
    assert (await serve_on(returns, Insisting())).client.denial is not None
    # E9, where the app is not called
    guarded = WebSocketGuardMiddleware(lambda scope, receive, send: anyio.sleep(1), max_connections=1)
    async with anyio.create_task_group() as group:
        group.start_soon(Timed().run, guarded)
        await anyio.sleep(0.5)
        await Insisting().run(guarded)


@in_virtual_time
async def test_h1_a_server_that_never_gives_a_connect() -> None:
    class Silent(Timed):
        async def receive(self) -> dict[str, Any]:
            await anyio.sleep_forever()
            raise AssertionError

    async def returns(scope: Any, receive: Receive, send: Send) -> None: ...

    server = await serve_on(returns, Silent())
    assert server.client.denial is not None
    assert anyio.current_time() <= 1


@pytest.mark.parametrize("unread", [0, 3])
@in_virtual_time
async def test_e1_the_clients_own_code_where_a_send_failed(unread: int) -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for _ in range(unread):
            server.client_sends("unread")
        server.client_leaves(1001, "tea")
        await send(TEXT)

    server = Timed()
    reports = await reported(app, server)
    assert [(report.close_code, report.closed_by) for report in reports] == [(1001, "client")]


@in_virtual_time
async def test_h5_a_server_that_never_gives_a_disconnect() -> None:
    """As a test double whose receive() returns the same message each time, and never waits."""
    got: list[Any] = []

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(CLOSE)
        got.append(await receive())

    server = Timed()
    await WebSocketGuardMiddleware(app)(server.scope, receive, server.send)
    assert got == [{"type": DISCONNECT, "code": 1006}]


@in_virtual_time
async def test_e1_a_server_that_has_no_disconnect_waiting() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        server.client.left = True
        await send(TEXT)

    server = Timed()
    reports = await reported(app, server)
    assert [report.closed_by for report in reports] == ["client"]
    assert anyio.current_time() < 1


# Context variables


number: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=-1)


@pytest.mark.parametrize("pause", [0, 2])
@in_virtual_time
async def test_a_context_variable_that_a_wrapper_of_receive_sets(pause: float) -> None:
    """The app sees the value of its message, though that was received ahead, in another task."""
    got: list[tuple[str, int]] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        for count in range(5):
            await anyio.sleep(pause)
            assert number.get() == count - 1
            message = await receive()
            got.append((message.get("text", DISCONNECT), number.get()))

    server = Timed()
    received = -2

    async def receive() -> Any:
        nonlocal received
        message = await server.receive()
        received += 1
        if received >= 0:
            number.set(received)
        return message

    for count in range(4):
        server.client_sends(str(count))
    server.client_leaves()
    server.client.left = False  # it has not yet, for what is sent
    await WebSocketGuardMiddleware(app)(server.scope, receive, server.send)
    assert got == [*((str(count), count) for count in range(4)), (DISCONNECT, 4)]


@in_virtual_time
async def test_a_context_variable_that_is_not_set_is_the_apps() -> None:
    got: list[int] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        number.set(7)
        await anyio.sleep(2)
        await receive()
        await send(ACCEPT)
        number.set(8)
        await anyio.sleep(2)
        await receive()
        got.append(number.get())

    server = Timed()
    server.client_sends("hi")
    await serve_on(app, server)
    assert got == [8]
