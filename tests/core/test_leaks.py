"""Nothing of the guard outlives a connection (E7): after many of each kind, all is as it was before."""

from __future__ import annotations

import gc
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from asgi_wsguard import Drainer, WebSocketGuardMiddleware
from harness.backends import on_asyncio
from harness.clock import FOR_EVER, in_virtual_time
from harness.kinds import ERRORS, KINDS, Ahead, echoes, serve, told
from harness.kinds import nobody_keeps_the_log as nobody_keeps_the_log
from harness.timed import TIMEOUTS, Timed

pytestmark = pytest.mark.usefixtures("small_heap")  # nothing older is counted

CONNECTIONS = 300
AT_ONCE = 100


async def census() -> tuple[Counter[type], int]:
    """Count all objects by their type, and all blocks, once the event loop has forgotten the cancelled timers."""
    await anyio.sleep(100)
    gc.collect()
    sys._clear_type_cache()  # it keeps the names of attributes that were made to be looked up
    blocks = sys.getallocatedblocks()
    return Counter(map(type, gc.get_objects())), blocks


async def assert_nothing_stays(connect: Callable[[], Awaitable[None]]) -> None:
    """See to it that so many connections, some at once, leave as much behind as the first ones: nothing."""
    for _ in range(2):
        await connect()  # what is kept for good is there now, such as the source lines that a log line quotes
        await census()
    before, blocks_before = await census()
    for _ in range(CONNECTIONS // AT_ONCE):
        await connect()
    after, blocks = await census()
    few = CONNECTIONS / 4
    assert {kind: more for kind, more in (after - before).items() if more >= few or is_ours(kind)} == {}
    assert blocks - blocks_before < few


def is_ours(kind: type) -> bool:
    return kind.__module__.partition(".")[0] == "asgi_wsguard"


@pytest.mark.parametrize("name", KINDS)
@in_virtual_time
async def test_many_connections(name: str) -> None:
    """Also, no task and no timer is left: `virtual_clock.run` sees to that."""
    kind = KINDS[name]
    guarded = WebSocketGuardMiddleware(kind.app, **kind.options)

    async def connect() -> None:
        servers = [kind.server() for _ in range(AT_ONCE)]
        await serve(kind, guarded, servers)
        assert {told(server) for server in servers} == kind.told
        assert all(isinstance(server.error, (*ERRORS, type(None))) for server in servers)

    await assert_nothing_stays(connect)


@in_virtual_time
async def test_many_connections_that_are_drained() -> None:
    drainer = Drainer(grace=1, spread=2)
    guarded = WebSocketGuardMiddleware(echoes, drainer=drainer)

    async def connect() -> None:
        servers = [Timed() for _ in range(AT_ONCE)]
        servers[0].scope["path"] = "/leaves"  # trio starts them in any order
        async with anyio.create_task_group() as group:
            for server in servers:
                group.start_soon(server.serve, guarded)
            await anyio.sleep(1)
            servers[0].client_leaves()
            await next(one for one in drainer.connections if one.path != "/leaves").close()
            drained = await drainer.drain()
            assert (drained.closed, drained.cancelled) == (AT_ONCE - 2, 0)
            drainer.resume()

    await assert_nothing_stays(connect)


@on_asyncio
@in_virtual_time
async def test_many_connections_that_are_thrown_away() -> None:
    """As asyncio does, and trio does not, with a task that nobody refers to."""
    guarded = WebSocketGuardMiddleware(echoes)

    async def throw_away(server: Timed) -> None:
        connection = guarded(server.scope, server.receive, server.send)
        connection.send(None)
        connection.close()

    async def connect() -> None:
        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(throw_away, Timed())

    await assert_nothing_stays(connect)


@pytest.mark.parametrize("server", [Timed, Ahead])
@in_virtual_time
async def test_many_messages_on_one_connection(server: Callable[[], Timed]) -> None:
    guarded = WebSocketGuardMiddleware(echoes, **{**dict.fromkeys(TIMEOUTS, 400), "max_lifetime": FOR_EVER})
    open_one = server()

    async def echo() -> None:
        for _ in range(AT_ONCE):
            open_one.client_sends("hi")
            await anyio.sleep(0.1)
        for kept in (open_one.sent, open_one.times, open_one.handed, open_one.client.messages):
            assert len(kept) >= AT_ONCE
            kept.clear()

    async with anyio.create_task_group() as group:
        group.start_soon(open_one.serve, guarded)
        await assert_nothing_stays(echo)
        open_one.client_leaves()
