"""The drainer clause by clause (D1 to D4), in virtual time, so that its times hold to the moment."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from asgi_wsguard import ClientDisconnected, Drainer, WebSocketGuardMiddleware
from asgi_wsguard.rules.lifecycle import Answer
from asgi_wsguard.testing import Client, Denial
from harness.apps import disconnected, noting
from harness.backends import on_asyncio, on_each_server
from harness.clock import Thread, in_virtual_time
from harness.drained import ends_after, figures, reads, served
from harness.messages import ACCEPT, BODY, CLOSE, START, TEXT, Receive, Send
from harness.serving import FORBIDDEN, STOPPING
from harness.timed import Blocked, Timed

DRAINING = Denial(503, [(b"content-type", b"text/plain; charset=utf-8"), (b"retry-after", b"5")], STOPPING.body, True)


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
    assert [(message["type"], message["code"], when) for message, when in told] == [("websocket.disconnect", 1006, 1)]
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

    async with served() as serving:
        for path in ("/quick", "/slow"):
            (server,) = await serving.serve(cleans_up, Timed(path))
            server.client_leaves()
        assert await serving.drainer.drain() == figures(ended=1, cancelled=1)
        assert anyio.current_time() == 20


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
    connection._connection.drain(Answer(code=4000))
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


def ignores_cancellations(until: float) -> Any:
    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        while anyio.current_time() < until:
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(60)

    return app


@in_virtual_time
async def test_d4_an_app_that_ignores_cancellations_counts_once() -> None:
    """Also where it ends at last, while the drain waits for others: the first is closed by 5, the last after 15."""
    async with served(Drainer(grace=0, spread=20, exit_timeout=1)) as serving:
        await serving.serve(ignores_cancellations(12), Timed(), Timed(), Timed(), Timed())
        assert await serving.drainer.drain() == figures(cancelled=4)


@in_virtual_time
async def test_d4_an_app_that_outlives_its_cancellation_is_not_waited_for() -> None:
    async with served(Drainer(grace=1, spread=0, exit_timeout=5)) as serving:
        (server,) = await serving.serve(ignores_cancellations(50), Timed())
        assert await serving.drainer.drain() == figures(cancelled=1)
        assert anyio.current_time() == 11
        assert math.isnan(server.ended_at)
        assert await serving.drainer.drain(grace=0) == figures(cancelled=1)  # the same once more
        assert anyio.current_time() == 21


@in_virtual_time
async def test_d4_such_an_app_is_counted_once() -> None:
    async def stays(scope: Any, receive: Receive, send: Send) -> None:
        await reads(scope, receive, send)
        while anyio.current_time() < 60:
            with contextlib.suppress(anyio.get_cancelled_exc_class()):
                await anyio.sleep(60 - anyio.current_time())

    async with served(Drainer(grace=10, spread=0, exit_timeout=1)) as serving:
        await serving.serve(reads, Timed())
        (server,) = await serving.serve(stays, Timed())
        server.client_leaves()
        assert await serving.drainer.drain() == figures(closed=1, cancelled=1)
        assert anyio.current_time() == 12
        # It is cancelled on and on, also while another drain waits for others.
        serving.drainer.resume()
        await serving.serve(reads, Timed())
        assert await serving.drainer.drain(grace=5) == figures(closed=1, cancelled=1)
