"""The drainer, in memory and in virtual time, so that its times hold to the moment; named by clause."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from functools import partial
from random import Random
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from drained import ends_after, figures, reads, served
from test_clauses_memory import (
    ACCEPT,
    BODY,
    CLOSE,
    FORBIDDEN,
    START,
    STOPPING,
    TEXT,
    Log,
    Receive,
    Send,
    on_asyncio,
    on_each_server,
)
from test_time_memory import Blocked, Timed, disconnected, noting
from virtual_clock import Thread, in_virtual_time

from asgi_wsguard import ClientDisconnected, ConnectionReport, Drained, Drainer, Outcome, WebSocketGuardMiddleware
from asgi_wsguard.drain.schedule import AT_ONCE, Schedule
from asgi_wsguard.lifecycle import Verdict
from asgi_wsguard.testing import Client, Denial, StrictServer

DRAINING = Denial(503, [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"5")], STOPPING.body, True)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG, "asgi_wsguard"):
        yield Log(caplog)


# D1


@on_each_server
@in_virtual_time
async def test_d1_a_new_handshake_is_turned_away(denial_extension: bool) -> None:
    async with served() as serving:
        assert not serving.drainer.draining
        assert await serving.drainer.drain() == figures()
        assert serving.drainer.draining
        server = await serving.turned_away(denial_extension=denial_extension)
        assert server.client == Client(denial=DRAINING if denial_extension else FORBIDDEN)
        assert anyio.current_time() == 0


@in_virtual_time
async def test_d1_the_client_is_told_when_to_try_again() -> None:
    async with served(Drainer(retry_after=120), max_connections=1) as serving:
        await serving.serve(ends_after(1), Timed())
        serving.soon(serving.drainer.drain)
        await anyio.lowlevel.checkpoint()
        server = await serving.turned_away()  # by the drain, although there are enough already
        assert server.client.denial is not None
        assert (b"retry-after", b"120") in server.client.denial.headers


@in_virtual_time
async def test_d1_resume_lets_handshakes_in_again() -> None:
    async with served() as serving:
        await serving.drainer.drain()
        serving.drainer.resume()
        assert not serving.drainer.draining
        (server,) = await serving.serve(ends_after(1), Timed())
    assert server.client == Client(accepted=True, close_code=1000)


@on_each_server
@in_virtual_time
async def test_d1_a_handshake_without_an_answer_is_turned_away_at_once(denial_extension: bool) -> None:
    told: list[Any] = []

    async def decides(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        told.append((await receive(), anyio.current_time()))
        await anyio.sleep(2)
        with pytest.raises(ClientDisconnected):
            await send(ACCEPT)
        raise ClientDisconnected("as ever")

    async with served() as serving:
        (server,) = await serving.serve(decides, Timed(denial_extension=denial_extension))
        await anyio.sleep(1)
        assert await serving.drainer.drain() == figures(closed=1)
        assert anyio.current_time() == 3
    assert server.client == Client(denial=DRAINING if denial_extension else FORBIDDEN)
    assert server.times[0][0] == 1
    assert told == [({"type": "websocket.disconnect", "code": 1006}, 1)]
    assert server.error is None


@in_virtual_time
async def test_d1_an_app_that_is_turned_away_gets_its_connect_first() -> None:
    got: list[str] = []

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await anyio.sleep(2)
        got.extend([(await receive())["type"] for _ in range(2)])

    async with served() as serving:
        await serving.serve(app, Timed())
        assert await serving.drainer.drain() == figures(closed=1)
    assert got == ["websocket.connect", "websocket.disconnect"]


@in_virtual_time
async def test_d1_an_app_that_goes_on_without_its_client_is_cancelled() -> None:
    async with served(exit_timeout=3) as serving:
        (server,) = await serving.serve(lambda scope, receive, send: anyio.sleep_forever(), Timed())
        assert await serving.drainer.drain() == figures(cancelled=1)
    assert server.client == Client(denial=DRAINING)
    assert server.ended_at == 3


@in_virtual_time
async def test_d1_many_that_wait_are_not_told_in_one_turn_of_the_loop() -> None:
    async def accepts_late(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await accept.wait()
        with contextlib.suppress(ClientDisconnected):
            await send(ACCEPT)
            await disconnected(receive)

    accept = anyio.Event()
    async with served(Drainer(grace=1, spread=0)) as serving:
        await serving.serve(accepts_late, *(Timed() for _ in range(5)))
        drain = serving.soon(serving.drainer.drain)
        await anyio.lowlevel.checkpoint()
        accept.set()  # some are quicker than the drain
    accepted = sum(server.client.accepted for server in serving.servers)
    assert 0 < accepted < 5
    assert {server.times[-1][0] for server in serving.servers} == {0, 1}  # which then have their turn
    assert drain.result == figures(closed=5)


@in_virtual_time
async def test_d1_resume_also_spares_those_that_wait() -> None:
    async def accepts(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await anyio.sleep(1)
        await send(ACCEPT)

    async with served() as serving:
        await serving.serve(accepts, *(Timed() for _ in range(5)))
        drain = serving.soon(serving.drainer.drain)
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        serving.drainer.resume()
    accepted = sum(server.client.accepted for server in serving.servers)
    assert 0 < accepted < 5
    assert drain.result == figures(closed=5 - accepted)


# D2


@in_virtual_time
async def test_d2_connections_may_end_by_themselves() -> None:
    async with served(Drainer(grace=5)) as serving:
        await serving.serve(ends_after(2), Timed())
        await serving.serve(ends_after(4), Timed())
        (left,) = await serving.serve(reads, Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(3)
        left.client_leaves()
    assert drain.result == figures(ended=3)
    assert drain.done_at == 4  # and nobody waits for the rest of the time
    assert [server.client.close_code for server in serving.servers] == [1000, 1000, None]


@in_virtual_time
async def test_d2_what_ends_in_its_turn_has_ended_by_itself() -> None:
    async with served(Drainer(grace=1, spread=10)) as serving:
        await serving.serve(reads, Timed())
        (late,) = await serving.serve(reads, Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(5.5)
        assert late.client.close_code is None
        late.client_leaves()
    assert drain.result == figures(ended=1, closed=1)
    assert drain.done_at is not None
    assert drain.done_at <= 6


@in_virtual_time
async def test_d2_an_app_whose_client_left_before_is_waited_for() -> None:
    async def cleans_up(scope: Any, receive: Receive, send: Send) -> None:
        await reads(scope, receive, send)
        await anyio.sleep(40 if scope["path"] == "/slow" else 5)

    async with served(exit_timeout=30) as serving:
        for path in ("/quick", "/slow"):
            (server,) = await serving.serve(cleans_up, Timed(path))
            server.client_leaves()
        assert await serving.drainer.drain() == figures(ended=1, cancelled=1)
        assert anyio.current_time() == 30


@in_virtual_time
async def test_d2_who_leaves_before_its_turn_has_ended_although_the_app_goes_on() -> None:
    async def cleans_up(scope: Any, receive: Receive, send: Send) -> None:
        await reads(scope, receive, send)
        await anyio.sleep(7)

    async with served(Drainer(grace=0, spread=10)) as serving:
        await serving.serve(reads, Timed())
        (late,) = await serving.serve(cleans_up, Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(4)
        late.client_leaves()
    assert (drain.result, drain.done_at) == (figures(ended=1, closed=1), 11)
    assert late.client.close_code is None


# D3


@in_virtual_time
async def test_d3_what_is_left_is_closed_evenly_and_the_oldest_first() -> None:
    async with served() as serving:
        for server in (Timed() for _ in range(100)):
            await serving.serve(reads, server)
        await anyio.sleep(1)
        assert await serving.drainer.drain() == figures(closed=100)
    moments = [server.times[-1][0] for server in serving.servers]
    assert all(11 + place / 10 <= when <= 11 + (place + 1) / 10 for place, when in enumerate(moments))
    gaps = [after - before for before, after in zip(moments, moments[1:])]
    assert max(gaps) - min(gaps) > 0.05  # there is chance in it
    assert {(server.client.close_code, server.client.close_reason) for server in serving.servers} == {(1012, "")}


@in_virtual_time
async def test_d3_what_ended_in_grace_leaves_no_gap() -> None:
    async with served(Drainer(grace=5, spread=10)) as serving:
        for place in range(100):
            await serving.serve(ends_after(1) if place < 90 else reads, Timed())
        assert await serving.drainer.drain() == figures(ended=90, closed=10)
    moments = [server.times[-1][0] for server in serving.servers[90:]]
    assert all(5 + place <= when <= 6 + place for place, when in enumerate(moments))


@in_virtual_time
async def test_d3_as_the_call_says() -> None:
    async with served(Drainer(grace=100, spread=100, code=1001, reason="bye")) as serving:
        await serving.serve(reads, Timed())
        await serving.drainer.drain(grace=1, spread=0, code=4000, reason="moved")
        assert anyio.current_time() == 1
        serving.drainer.resume()
        await serving.serve(reads, Timed())
        await serving.drainer.drain(grace=0, spread=0)
        assert anyio.current_time() == 1
    closes = [(server.client.close_code, server.client.close_reason) for server in serving.servers]
    assert closes == [(4000, "moved"), (1001, "bye")]


@pytest.mark.parametrize(
    ("messages", "denial"),
    [
        ([START], DRAINING),
        ([START, BODY], Denial(401, [(b"x-app", b"1")], b"no", complete=False)),
    ],
)
@in_virtual_time
async def test_d3_an_app_that_never_ends_its_denial_response(messages: list[Any], denial: Denial) -> None:
    async def denies(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        for message in messages:
            await send(message)
        await anyio.sleep_forever()

    async with served(Drainer(grace=1, spread=0), handshake_timeout=None, exit_timeout=2) as serving:
        (server,) = await serving.serve(denies, Timed())
        assert await serving.drainer.drain() == figures(cancelled=1)
        assert anyio.current_time() == 3
    assert server.client.denial is not None
    assert (server.client.denial.status, server.client.denial.complete) == (denial.status, denial.complete)


@in_virtual_time
async def test_d3_where_the_server_refuses_the_code() -> None:
    """What the guard cannot close it hands to the server's crash path (O11)."""
    async with served(Drainer(grace=0, spread=0)) as serving:
        (server,) = await serving.serve(reads, Timed(refused_codes=range(1001, 3000)))
        assert await serving.drainer.drain() == figures(closed=1)
    assert isinstance(server.error, ValueError)
    assert "1012" in str(server.error)


@in_virtual_time
async def test_d3_one_that_was_about_to_close_and_did_not() -> None:
    class Slow(Timed):
        """It refuses codes after a while."""

        async def send(self, message: Any) -> None:
            if message.get("code") == 1001:
                await anyio.sleep(3)
            await super().send(message)

    async def tries(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        with pytest.raises(ValueError, match="1001"):
            await send({"type": "websocket.close", "code": 1001})
        await disconnected(receive)

    async with served(Drainer(grace=1, spread=1, code=4000)) as serving:
        (server,) = await serving.serve(tries, Slow(refused_codes=range(1001, 3000)))
        assert await serving.drainer.drain() == figures(closed=1)
    assert server.client.close_code == 4000
    assert 3 <= server.times[-1][0] <= 4


@in_virtual_time
async def test_d3_where_the_server_takes_nothing() -> None:
    async with served(Drainer(grace=0, spread=0), close_timeout=2) as serving:
        (server,) = await serving.serve(reads, Blocked())
        assert await serving.drainer.drain() == figures(closed=1)
    assert server.ended_at == 2


# D4


@in_virtual_time
async def test_d4_what_the_app_sees() -> None:
    seen: list[Any] = []

    async def pushes(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        try:
            while True:
                await anyio.sleep(0.3)
                await send(TEXT)
        except ClientDisconnected:
            seen.append(await receive())
            await send(CLOSE)

    async with served(Drainer(grace=1, spread=0, code=4000, reason="moved")) as serving:
        (server,) = await serving.serve(pushes, Timed())
        assert await serving.drainer.drain() == figures(closed=1)
    assert server.client == Client(accepted=True, messages=["hi"] * 3, close_code=4000, close_reason="moved")
    assert seen == [{"type": "websocket.disconnect", "code": 4000, "reason": "moved"}]
    assert server.error is None


@in_virtual_time
async def test_d4_a_message_that_the_server_has_handed_out_is_not_lost() -> None:
    async def works(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await anyio.sleep(3)
        got.extend([(await receive())["type"] for _ in range(2)])

    got: list[str] = []
    async with served(Drainer(grace=2, spread=0)) as serving:
        (server,) = await serving.serve(works, Timed())
        server.client_sends("hi")
        await serving.drainer.drain()
    assert got == ["websocket.receive", "websocket.disconnect"]


@in_virtual_time
async def test_d4_the_close_goes_out_while_the_app_sits_in_a_thread() -> None:
    async def sits(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        await thread.wait()

    thread = Thread()
    async with served(Drainer(grace=1, spread=0), exit_timeout=5) as serving:
        (server,) = await serving.serve(sits, Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(2)
        assert server.times[-1] == (1, "close")
        assert drain.result is None
        thread.let_go()
    assert drain.result == figures(closed=1)


@on_asyncio
@in_virtual_time
async def test_d4_a_cancellation_that_comes_just_before_goes_on() -> None:
    """The server's. The guard interrupts `receive()` by a cancellation, too, and must tell the two apart."""
    drainer, server = Drainer(), Timed()
    server.task = asyncio.create_task(server.serve(WebSocketGuardMiddleware(reads, drainer=drainer)))
    await anyio.sleep(1)
    (connection,) = drainer.connections
    server.task.cancel()
    connection._connection.drain(Verdict(code=4000))
    await asyncio.wait([server.task])
    assert server.task.cancelled()
    assert server.client.close_code == 4000


@in_virtual_time
async def test_d4_an_app_that_goes_on_is_cancelled_and_has_time_to_clean_up() -> None:
    async def cleans_up(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        try:
            with noting(moments):
                await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(2)

    moments: list[float] = []
    async with served(Drainer(grace=1, spread=0), exit_timeout=5) as serving:
        await serving.serve(cleans_up, Timed())
        assert await serving.drainer.drain() == figures(cancelled=1)
        assert anyio.current_time() == 8
    assert moments == [6]


@in_virtual_time
async def test_d4_an_app_that_outlives_its_cancellation_is_not_waited_for() -> None:
    async def stays(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while anyio.current_time() < 50:
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(60)

    async with served(Drainer(grace=1, spread=0), exit_timeout=5) as serving:
        (server,) = await serving.serve(stays, Timed())
        assert await serving.drainer.drain() == figures(cancelled=1)
        assert anyio.current_time() == 11
        assert math.isnan(server.ended_at)
        assert await serving.drainer.drain(grace=0) == figures(cancelled=1)  # the same once more
        assert anyio.current_time() == 21


@in_virtual_time
async def test_d4_such_an_app_is_counted_once() -> None:
    async def stays(scope: Any, receive: Receive, send: Send) -> None:
        await reads(scope, receive, send)
        while anyio.current_time() < 20:
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(20 - anyio.current_time())

    async with served(Drainer(grace=30, spread=0), exit_timeout=1) as serving:
        await serving.serve(reads, Timed())
        (server,) = await serving.serve(stays, Timed())
        server.client_leaves()
        assert await serving.drainer.drain() == figures(closed=1, cancelled=1)
        assert anyio.current_time() == 30


# Calls that meet


@in_virtual_time
async def test_a_second_call_that_ends_sooner_takes_over() -> None:
    async with served(Drainer(grace=60, spread=60)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        first = serving.soon(serving.drainer.drain)
        await anyio.sleep(1)
        assert await serving.drainer.drain(grace=1, spread=10, code=4000) == figures(closed=10)
    moments = [server.times[-1][0] for server in serving.servers]
    assert all(2 + place <= when <= 3 + place for place, when in enumerate(moments))
    assert {server.client.close_code for server in serving.servers} == {4000}
    assert first.result == figures(closed=10)


@in_virtual_time
async def test_a_second_call_amid_the_closing_skips_the_rest() -> None:
    async with served(Drainer(grace=0, spread=10)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        first = serving.soon(serving.drainer.drain)
        await anyio.sleep(5)
        assert await serving.drainer.drain(grace=0, spread=0, code=4000) == figures(closed=10)
        assert anyio.current_time() == 5
    assert first.done_at == 5
    assert sorted(server.client.close_code or 0 for server in serving.servers) == [1012] * 5 + [4000] * 5


@in_virtual_time
async def test_a_second_call_that_ends_later_joins_the_first() -> None:
    async with served(Drainer(grace=1, spread=1)) as serving:
        (server,) = await serving.serve(reads, Timed())
        first = serving.soon(serving.drainer.drain)
        await anyio.sleep(0.5)
        assert await serving.drainer.drain(grace=0, spread=5, code=4000) == figures(closed=1)
    assert first.result == figures(closed=1)
    assert server.client.close_code == 1012


@in_virtual_time
async def test_a_call_that_is_cancelled_leaves_the_others_to_it() -> None:
    async with served(Drainer(grace=1, spread=1)) as serving:
        await serving.serve(reads, Timed())
        first = serving.soon(serving.drainer.drain)
        second = serving.soon(serving.drainer.drain)
        await anyio.sleep(0.5)
        first.scope.cancel()
    assert (first.result, second.result) == (None, figures(closed=1))


@pytest.mark.parametrize("when", [0.5, 5.0])
@in_virtual_time
async def test_a_cancelled_drain_closes_no_more_but_lets_nobody_in(when: float) -> None:
    async with served(Drainer(grace=1, spread=10)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        with anyio.move_on_after(when):
            await serving.drainer.drain()
        closed = sum(server.client.ended for server in serving.servers)
        assert closed == round(when - 1)
        await anyio.sleep(60)
        assert len(serving.drainer.connections) == 10 - closed
        assert serving.drainer.draining
        await serving.turned_away()
        assert await serving.drainer.drain() == figures(closed=10 - closed)  # goes on from here


@pytest.mark.parametrize("when", [0.5, 5.0])
@in_virtual_time
async def test_resume_calls_a_drain_off(when: float) -> None:
    async with served(Drainer(grace=1, spread=10)) as serving:
        await serving.serve(reads, *(Timed() for _ in range(10)))
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(when)
        serving.drainer.resume()
        again = serving.soon(partial(serving.drainer.drain, grace=100))  # although the first has not returned yet
        await anyio.sleep(60)
        assert drain.done_at == when
        closed = sum(server.client.ended for server in serving.servers)
        assert closed == round(when - 1)
        assert drain.result == figures(closed=closed)
        assert len(serving.drainer.connections) == 10 - closed
    assert again.result == figures(closed=10 - closed)


@in_virtual_time
async def test_a_drain_that_was_called_off_is_not_joined() -> None:
    async with served(Drainer(grace=1, spread=10)) as serving:
        await serving.serve(reads, Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(0.5)
        serving.drainer.resume()
        assert await serving.drainer.drain(grace=0, spread=0) == figures(closed=1)  # the first has not returned yet
    assert drain.result == figures()


@in_virtual_time
async def test_resume_counts_what_was_closed_although_the_app_goes_on() -> None:
    async with served(Drainer(grace=0, spread=0)) as serving:
        await serving.serve(ends_after(5), Timed(), Timed())
        drain = serving.soon(serving.drainer.drain)
        await anyio.sleep(1)
        serving.drainer.resume()
    assert drain.result == figures(closed=2)
    assert drain.done_at == 1


# The list


@in_virtual_time
async def test_what_is_open_is_listed() -> None:
    async with served() as serving:

        async def late(scope: Any, receive: Receive, send: Send) -> None:
            await anyio.sleep(10)
            await reads(scope, receive, send)

        async def chats(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            scope["path_template"] = "/rooms/{room}"  # as Litestar does
            await send({"type": "websocket.accept", "subprotocol": "chat"})
            await disconnected(receive)

        before = datetime.now(timezone.utc)
        await serving.serve(late, Timed("/late"))
        await serving.serve(chats, Timed("/rooms/1", subprotocols=["chat"]))
        (early,) = serving.drainer.connections
        assert (early.path, early.route, early.client) == ("/rooms/1", "/rooms/{room}", "127.0.0.1:50000")
        assert early.subprotocol == "chat"
        await anyio.sleep(20)
        after = datetime.now(timezone.utc)
        first, second = serving.drainer.connections
        assert (first.path, first.route, first.subprotocol, second) == ("/late", "", None, early)
        assert before <= second.since <= after
        assert before <= first.since - timedelta(seconds=10) <= after
        for server in serving.servers:
            server.client_leaves()
    assert serving.drainer.connections == ()


@in_virtual_time
async def test_chosen_ones_are_closed() -> None:
    async with served() as serving:
        await serving.serve(reads, *(Timed(f"/{place}") for place in range(4)))
        chosen = [one for one in serving.drainer.connections if one.path in ("/1", "/2")]
        for connection in chosen:
            await connection.close(code=4001, reason="kicked")
        assert [server.client.close_code for server in serving.servers] == [None, 4001, 4001, None]
        await chosen[0].close()  # that is over
        assert not serving.drainer.draining
        await serving.drainer.connections[0].close()
        serving.servers[3].client_leaves()
    assert [server.client.close_code for server in serving.servers] == [1000, 4001, 4001, None]
    assert serving.servers[1].client.close_reason == "kicked"


@in_virtual_time
async def test_an_app_may_close_its_own() -> None:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        (own,) = serving.drainer.connections
        await own.close()
        with pytest.raises(ClientDisconnected):
            await send(TEXT)

    async with served() as serving:
        (server,) = await serving.serve(app, Timed())
    assert (server.client.close_code, server.error) == (1000, None)


@in_virtual_time
async def test_a_close_waits_for_the_server() -> None:
    async with served(close_timeout=2) as serving:
        await serving.serve(reads, Blocked())
        await serving.drainer.connections[0].close()
        assert anyio.current_time() == 2


@in_virtual_time
async def test_one_drainer_for_several_middlewares() -> None:
    async with served() as serving:
        await serving.serve(reads, Timed("/a"))
        await serving.serve(reads, Timed("/b"))  # each call makes a middleware
        assert [one.path for one in serving.drainer.connections] == ["/a", "/b"]
        assert await serving.drainer.drain(grace=0) == figures(closed=2)


@in_virtual_time
async def test_e8_the_drainer_of_the_outer_guard_counts() -> None:
    inner = Drainer()
    async with served() as serving:
        await serving.serve(WebSocketGuardMiddleware(reads, drainer=inner), Timed())
        assert inner.connections == ()
        assert await serving.drainer.drain(grace=0) == figures(closed=1)


# Other event loops, other threads


@pytest.mark.anyio
async def test_the_state_may_be_read_from_a_thread() -> None:
    async with served() as serving:
        (server,) = await serving.serve(reads, Timed())
        assert len(await anyio.to_thread.run_sync(lambda: serving.drainer.connections)) == 1
        assert not await anyio.to_thread.run_sync(lambda: serving.drainer.draining)
        server.client_leaves()


class Loop(threading.Thread):
    """Serves one connection in an event loop of its own, and drains when it is told to."""

    def __init__(self, drainer: Drainer, backend: str) -> None:
        super().__init__()
        self.drainer = drainer
        self.backend = backend
        self.server = StrictServer()
        self.opened = threading.Event()
        self.go = threading.Event()
        self.drained: Drained | None = None

    def run(self) -> None:
        anyio.run(self.main, backend=self.backend)

    async def main(self) -> None:
        async def app(scope: Any, receive: Receive, send: Send) -> None:
            await receive()
            await send(ACCEPT)
            self.opened.set()
            await disconnected(receive)

        async with anyio.create_task_group() as group:
            group.start_soon(self.server.run, WebSocketGuardMiddleware(app, drainer=self.drainer))
            await anyio.to_thread.run_sync(self.go.wait, 60)
            self.drained = await self.drainer.drain()
            self.server.client_leaves()


@pytest.mark.anyio
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_drain_is_for_its_own_event_loop(backend: str) -> None:
    drainer = Drainer(grace=0, spread=0)
    other = Loop(drainer, backend)
    other.start()
    assert other.opened.wait(60)
    own = StrictServer()
    async with anyio.create_task_group() as group:
        group.start_soon(own.run, WebSocketGuardMiddleware(reads, drainer=drainer))
        while len(drainer.connections) < 2:
            await anyio.lowlevel.checkpoint()
        with pytest.raises(RuntimeError, match="another event loop"):
            await drainer.connections[0].close()
        assert await drainer.drain() == figures(closed=1)
    assert (own.client.close_code, other.server.client.close_code) == (1012, None)
    other.go.set()
    await anyio.to_thread.run_sync(other.join)
    assert (other.server.client.close_code, other.drained) == (1012, figures(closed=1))
    assert (own.violations, other.server.violations) == ([], [])


@pytest.mark.anyio
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_resume_reaches_a_drain_in_another_event_loop_at_its_next_turn(backend: str) -> None:
    drainer = Drainer(grace=0.25, spread=0)
    other = Loop(drainer, backend)
    other.start()
    assert other.opened.wait(60)
    other.go.set()
    while not drainer.draining:
        await anyio.sleep(0.001)
    await anyio.to_thread.run_sync(drainer.resume)  # a thread without an event loop
    while other.drained is None:
        await anyio.sleep(0.001)
    assert other.drained == figures()
    assert other.server.client.close_code is None
    await anyio.to_thread.run_sync(other.join)


# Options


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"grace": "10"}, TypeError),
        ({"grace": True}, TypeError),
        ({"grace": -1}, ValueError),
        ({"spread": [1]}, TypeError),
        ({"spread": float("inf")}, ValueError),
        ({"spread": float("nan")}, ValueError),
        ({"code": "1012"}, TypeError),
        ({"code": True}, TypeError),
        ({"code": 1006}, ValueError),
        ({"code": 5000}, ValueError),
        ({"reason": b"bye"}, TypeError),
        ({"reason": "é" * 62}, ValueError),
        ({"retry_after": 0.5}, TypeError),
        ({"retry_after": True}, TypeError),
        ({"retry_after": -1}, ValueError),
    ],
)
@in_virtual_time
async def test_wrong_options(options: dict[str, Any], error: type[Exception]) -> None:
    ((name, value),) = options.items()

    def says_so(caught: pytest.ExceptionInfo[Exception]) -> bool:
        return name in str(caught.value) and repr(value) in str(caught.value)

    with pytest.raises(error) as caught:
        Drainer(**options)
    assert says_so(caught)
    async with served() as serving:
        (server,) = await serving.serve(reads, Timed())
        if name != "retry_after":
            with pytest.raises(error) as caught:
                await serving.drainer.drain(**options)
            assert says_so(caught)
        if name in ("code", "reason"):
            with pytest.raises(error) as caught:
                await serving.drainer.connections[0].close(**options)
            assert says_so(caught)
        assert not serving.drainer.draining
        server.client_leaves()


def test_the_middleware_wants_a_drainer(anyio_backend: str) -> None:
    with pytest.raises(TypeError, match="drainer must be a Drainer, not 10"):
        WebSocketGuardMiddleware(reads, drainer=10)


# The log


@in_virtual_time
async def test_the_log(log: Log) -> None:
    async with served(Drainer(grace=1, spread=2), exit_timeout=5) as serving:
        await serving.serve(reads, Timed())
        await serving.serve(ends_after(0.5), Timed())
        await serving.serve(ends_after(30), Timed())
        await serving.drainer.drain()
        await serving.turned_away()
    first, *_, last = log.lines()
    assert first == "INFO [wsguard-D1] draining: 3 connections have 1 s to end, and are then closed over 2 s"
    assert last == "INFO [wsguard-D4] drained: 1 ended by themselves, 1 were closed, 1 were cancelled"
    everyday = log.lines(logging.DEBUG)
    assert sum("the drainer closed the connection; the client was closed with 1012" in line for line in everyday) == 2
    assert everyday[-1] == (
        "DEBUG [wsguard-D1] '/ws': no handshake is let in, as the drainer is draining; the client was told 503"
    )


@in_virtual_time
async def test_e1_the_reports() -> None:
    async def accepts(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        await disconnected(receive)

    reports: list[ConnectionReport] = []

    async def observe(report: ConnectionReport) -> None:
        reports.append(report)

    async with served(Drainer(grace=1, spread=0, reason="bye"), observers=[observe]) as serving:
        await serving.serve(accepts, Timed(subprotocols=["chat"]))
        await serving.serve(lambda scope, receive, send: disconnected(receive), Timed())
        await serving.drainer.drain()
        await serving.turned_away()
    waiting, drained, new = reports
    for report in (waiting, new):
        assert (report.outcome, report.status, report.closed_by) == (Outcome.TURNED_AWAY, 503, "guard")
    assert (drained.outcome, drained.close_code, drained.close_reason) == (Outcome.DRAINED, 1012, "bye")
    assert (drained.closed_by, drained.open_for, drained.subprotocol) == ("guard", 1, "chat")


# The schedule


@pytest.mark.parametrize(("count", "spread"), [(0, 1.0), (1, 1.0), (7, 10.0), (1000, 0.5), (50, 0.0)])
def test_the_schedule(count: int, spread: float, anyio_backend: str) -> None:
    schedule = Schedule(range(count), 100.0, spread, Random(1))
    taken: list[int] = []
    while schedule.next < math.inf:
        now = schedule.next
        assert schedule.due(now - 1e-9) == [] or spread == 0  # none before its turn
        due = schedule.due(now)
        assert 0 < len(due) <= AT_ONCE
        for place in due:
            assert 100 + spread * place / count <= now <= 100 + spread * (place + 1) / count
        taken += due
    assert taken == list(range(count))


def test_the_schedule_takes_many_in_turns(anyio_backend: str) -> None:
    schedule = Schedule(range(50), 0.0, 1.0, Random(1))
    schedule.remove(0)
    schedule.remove(0)
    assert [len(schedule.due(1.0)) for _ in range(4)] == [20, 20, 9, 0]
