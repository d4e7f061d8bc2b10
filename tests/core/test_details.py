"""What the clauses leave open, or meet seldom."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import sys
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from starlette.exceptions import HTTPException

from asgi_wsguard import ClientDisconnected, DenialResponse, ProtocolViolation, WebSocketGuardMiddleware
from asgi_wsguard.report import lines
from asgi_wsguard.rules.lifecycle import FinalMessages, Lifecycle, Policy
from asgi_wsguard.rules.states import EndReason, State
from asgi_wsguard.testing import StrictServer
from harness.messages import ACCEPT, BODY, TEXT

START = {"type": "websocket.http.response.start", "status": 401, "headers": []}


def test_a_violation_can_be_pickled() -> None:
    violation = ProtocolViolation("H10", "the app sent too much", "less")
    copy = pickle.loads(pickle.dumps(violation))
    assert (copy.clause, str(copy)) == ("H10", str(violation))


def test_no_body_where_the_status_allows_none() -> None:
    with pytest.raises(ValueError, match="body must be empty with status 204"):
        DenialResponse(204)
    (start, body) = DenialResponse(204, "").messages()
    assert (start["headers"], body["body"]) == ([], b"")


@pytest.mark.anyio
async def test_close_timeout_may_be_none() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(app, close_timeout=None))
    assert server.client.denial is not None


@pytest.mark.anyio
async def test_without_starlette_its_exceptions_are_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "starlette.exceptions", raising=False)
    monkeypatch.delitem(sys.modules, "starlette.websockets", raising=False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/leave":
            await send(ACCEPT)
            await send({"type": "websocket.close"})
        raise HTTPException(401)

    for path, status in (("/", 500), ("/leave", None)):
        server = StrictServer(path)
        with pytest.raises(HTTPException):
            await server.run(WebSocketGuardMiddleware(app))
        assert (server.client.denial.status if server.client.denial else None) == status


@pytest.mark.anyio
async def test_an_error_of_the_servers_own_goes_to_the_app_as_it_is() -> None:
    class Broken(StrictServer):
        async def send(self, message: Any) -> None:
            if message["type"] == "websocket.send":
                raise KeyError("of the server")
            await super().send(message)

    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        for data in (TEXT, {"type": "websocket.send", "bytes": b"hi"}):
            try:
                await send(data)
            except KeyError as exc:
                seen.append(exc.args)

    await Broken().run(WebSocketGuardMiddleware(app))
    assert seen == [("of the server",), ("of the server",)]


@pytest.mark.anyio
async def test_what_the_guard_does_not_know_reaches_the_app() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert await receive() == {"type": "websocket.news"}

    async def receive() -> Any:
        return {"type": "websocket.news"}

    server = StrictServer()
    await WebSocketGuardMiddleware(app)(server.scope, receive, server.send)


@pytest.mark.anyio
async def test_parts_of_a_denial_from_two_tasks_go_out_in_turn() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(START)
        async with anyio.create_task_group() as group:
            for part in (b"one ", b"two "):
                group.start_soon(send, {"type": "websocket.http.response.body", "body": part, "more_body": True})
        await send({"type": "websocket.http.response.body", "body": b"three"})

    server = StrictServer(send_checkpoints=3)
    await server.run(WebSocketGuardMiddleware(app))
    assert server.client.denial is not None
    assert server.client.denial.complete
    assert sorted(server.client.denial.body.split()) == [b"one", b"three", b"two"]
    assert server.violations == []


@pytest.mark.anyio
async def test_a_refused_accept_does_not_undo_what_came_after() -> None:
    refused = anyio.Event()

    class Refusing(StrictServer):
        async def send(self, message: Any) -> None:
            if message["type"] == "websocket.accept":
                await refused.wait()
                raise ValueError("not this one")
            self.sent.append(message["type"])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async def accept() -> None:
            with pytest.raises(ValueError, match="not this one"):
                await send(ACCEPT)

        async with anyio.create_task_group() as group:
            group.start_soon(accept)
            await anyio.wait_all_tasks_blocked()
            await send({"type": "websocket.close"})
            refused.set()
        with pytest.raises(ClientDisconnected):
            await send(TEXT)

    server = Refusing()
    await server.run(WebSocketGuardMiddleware(app))
    assert server.sent == ["websocket.close"]


class Slow(StrictServer):
    """Waits in the first send, once it has acted, until it is let go."""

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.waits = anyio.Event()
        self.go = anyio.Event()

    async def send(self, message: Any) -> None:
        await super().send(message)
        self.waits.set()
        await self.go.wait()


@pytest.mark.anyio
async def test_a_cancellation_while_an_answer_of_starlettes_goes_out_goes_on() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise HTTPException(401)

    server, went_on = Slow(), False
    async with anyio.create_task_group() as group:

        async def serve() -> None:
            nonlocal went_on
            try:
                await server.run(WebSocketGuardMiddleware(app))
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                went_on = True
                raise

        group.start_soon(serve)
        await server.waits.wait()
        group.cancel_scope.cancel()
        server.go.set()
    assert went_on
    assert server.client.denial is not None
    assert (server.client.denial.status, server.client.denial.complete) == (401, True)


@pytest.mark.anyio
async def test_settling_is_bounded_also_when_it_is_cancelled(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    server = Slow(denial_extension=False)
    async with anyio.create_task_group() as group:
        group.start_soon(server.run, WebSocketGuardMiddleware(app, close_timeout=0.01))
        await server.waits.wait()
        group.cancel_scope.cancel()
    assert not server.go.is_set()


def test_thrown_away_while_it_settles() -> None:
    """The loop closes the coroutine at a moment when it waits for the server."""

    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    async def main() -> None:
        server = Slow()
        running = WebSocketGuardMiddleware(app)(server.scope, server.receive, server.send)
        running.send(None)  # type: ignore[attr-defined]
        running.close()  # type: ignore[attr-defined]
        server.go.set()
        await asyncio.sleep(0)

    asyncio.run(main())


def test_the_line_of_litestars_endpoint() -> None:
    handler = SimpleNamespace(fn=test_the_line_of_litestars_endpoint)
    assert lines.of_app({"route_handler": handler}, None).startswith(f"{__file__}:")


def test_what_is_frozen_into_python_is_no_line_of_the_users() -> None:
    with pytest.raises(KeyError) as raised:
        os.environ["NO_SUCH_VARIABLE"]
    assert lines.of_exception(raised.value).startswith(f"{__file__}:")


@pytest.mark.anyio
async def test_an_app_without_source_has_no_line(caplog: pytest.LogCaptureFixture) -> None:
    namespace: dict[str, Any] = {}
    exec("async def app(scope, receive, send): pass", namespace)
    with caplog.at_level(logging.ERROR):
        await StrictServer("/ws").run(WebSocketGuardMiddleware(namespace["app"]))
    (line,) = caplog.messages
    assert line == "[wsguard-H1] '/ws': The app returned without answering the handshake. The client got status 500."


@pytest.mark.anyio
async def test_an_exception_from_libraries_alone_has_no_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lines, "_is_users", lambda file: False)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("secret")

    with caplog.at_level(logging.ERROR), pytest.raises(ValueError, match="secret"):
        await StrictServer("/ws").run(WebSocketGuardMiddleware(app))
    (line,) = caplog.messages
    assert (
        line
        == "[wsguard-H2] '/ws': The app raised ValueError before it answered the handshake. The client got status 500."
    )


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"type": "websocket.send", "bytes": bytearray(b"a")}, b"a"),
        ({"type": "websocket.send", "bytes": memoryview(b"a"), "text": None}, b"a"),
        ({"type": "websocket.send", "bytes": b"a", "text": None}, b"a"),
        ({"type": "websocket.send", "bytes": None, "text": "a"}, "a"),
        ({"type": "websocket.send", "bytes": type("Bytes", (bytes,), {})(b"a")}, b"a"),
        ({"type": "websocket.send", "text": type("Text", (str,), {})("a")}, "a"),
    ],
)
async def test_every_way_to_send_data(message: Any, sent: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send(message)

    server = StrictServer()
    await server.run(WebSocketGuardMiddleware(app))
    assert server.client.messages == [sent]
    assert server.violations == []


def test_h9_a_denial_that_was_cancelled_where_the_server_has_no_response() -> None:
    rules = Lifecycle((), can_deny=False, policy=Policy(DenialResponse()))
    rules.sending(START)
    before = rules.state
    assert [message["type"] for message in rules.sending(BODY)] == ["websocket.close"]
    after = rules.state
    rules.failed(before, after, 0, refused=False)
    assert rules.state is after is State.DISCARDING


def test_a_limit_that_expires_as_the_client_leaves_undoes_nothing() -> None:
    rules = Lifecycle((), can_deny=True, policy=Policy(DenialResponse()))
    rules.left()
    assert rules.settle(EndReason.HANDSHAKE_TIMEOUT) == FinalMessages()
    assert rules.state is State.LEFT


@pytest.mark.anyio
async def test_an_endpoint_of_a_librarys_is_not_the_line_to_look_at(caplog: pytest.LogCaptureFixture) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None: ...

    server = StrictServer("/ws")
    server.scope["endpoint"] = json.dumps
    await server.run(WebSocketGuardMiddleware(app))
    assert os.path.basename(__file__) in caplog.text
