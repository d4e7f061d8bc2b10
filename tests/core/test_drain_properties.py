"""Random connections, drains that meet, are cancelled and called off, on asyncio and on trio, in virtual time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import anyio
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from asgi_wsguard import Drained, Drainer, WebSocketGuardMiddleware
from harness.clock import in_virtual_time
from harness.drained import reads
from harness.strategies import SERVERS
from harness.timed_runs import (
    EARLY,
    END,
    OPTIONS,
    PLANS,
    TIMES,
    Plan,
    Run,
    Server,
    check_client,
    check_deadlines,
    check_end,
    check_exceptions,
    check_messages,
)

pytestmark = pytest.mark.usefixtures("quiet")


ACTS = st.tuples(
    TIMES,
    st.one_of(
        st.tuples(st.just("drain"), TIMES, TIMES),
        st.tuples(st.just("drain"), TIMES, TIMES),
        st.tuples(st.just("cancel"), st.integers(0, 5), st.none()),
        st.tuples(st.just("resume"), st.none(), st.none()),
        st.tuples(st.just("close"), st.integers(0, 5), st.none()),
    ),
)


@dataclass
class Call:
    """One call of `drain()`."""

    begun: float
    grace: float
    spread: float
    there: int  # connections
    scope: anyio.CancelScope
    result: Drained | None = None
    ended: float = math.inf
    called_off: bool = False


class Watched(Server):
    """Notes whether handshakes were let in when its own came, and when it was answered."""

    def __init__(self, drainer: Drainer, **more: Any) -> None:
        super().__init__(**more)
        self.drainer = drainer
        self.came_while_draining = False
        self.accepted_while_draining = math.nan

    async def run(self, app: Any) -> None:
        self.came_while_draining = self.drainer.draining
        await super().run(app)

    async def send(self, message: Any) -> None:
        if message["type"] == "websocket.accept" and self.drainer.draining:
            self.accepted_while_draining = anyio.current_time()
        await super().send(message)


class Draining:
    """Acts on a drainer, and notes what came of it."""

    def __init__(self, exit_timeout: float) -> None:
        self.drainer = Drainer(exit_timeout=exit_timeout)
        self.drainer._random.seed(1)
        self.calls: list[Call] = []

    async def act(self, acts: list[Any]) -> None:
        async with anyio.create_task_group() as group:
            for pause, (kind, value, more) in acts:
                await anyio.sleep(pause)
                if kind == "drain":
                    group.start_soon(self.drain, value, more)
                    await anyio.sleep(0)
                elif kind == "cancel":
                    for call in self.calls[value : value + 1]:
                        call.scope.cancel()
                elif kind == "resume":
                    self.drainer.resume()
                    for call in self.calls:
                        call.called_off = True
                else:
                    for connection in self.drainer.connections[value : value + 1]:
                        await connection.close(code=4000, reason="chosen")

    async def drain(self, grace: float, spread: float) -> None:
        joins = any(not running.over for running in self.drainer._runs)
        there = self.calls[-1].there if joins else len(self.drainer._connections)
        call = Call(anyio.current_time(), grace, spread, there, anyio.CancelScope())
        self.calls.append(call)
        with call.scope:
            reason = f"drain {len(self.calls) - 1}"
            call.result = await self.drainer.drain(grace=grace, spread=spread, reason=reason)
        call.ended = anyio.current_time()


@settings(max_examples=2 * settings.default.max_examples)
@given(
    connections=st.lists(st.tuples(PLANS, SERVERS), max_size=4),
    late=st.lists(st.tuples(TIMES, SERVERS), max_size=3),
    options=OPTIONS,
    acts=st.lists(ACTS, max_size=6),
)
@in_virtual_time
async def test_any_drain(connections: list[tuple[Plan, Any]], late: list[Any], options: Any, acts: list[Any]) -> None:
    draining = Draining(options["exit_timeout"] or 10.0)
    drainer = draining.drainer
    runs = [Run(plan, Watched(drainer, **server), {**options, "drainer": drainer}) for plan, server in connections]
    others = [Watched(drainer, **server) for _, server in late]

    async def come(pause: float, server: Watched) -> None:
        await anyio.sleep(pause)
        await server.serve(WebSocketGuardMiddleware(reads, **{**options, "drainer": drainer}))

    async with anyio.create_task_group() as group:
        for run in runs:
            group.start_soon(run.go)
        for (pause, _), server in zip(late, others):
            group.start_soon(come, pause, server)
        group.start_soon(draining.act, acts)
        await anyio.sleep_until(END)
        for server in others:
            server.client_leaves()

    for run in runs:
        check_run(run)
    for server in [*others, *(run.server for run in runs)]:
        assert isinstance(server, Watched)
        check_connection(server, draining.calls)
    for call in draining.calls:
        check_call(call, options["exit_timeout"] or 10.0)
    assert drainer._connections == {}
    assert drainer._runs == set()


def check_run(run: Run) -> None:
    """It has one legal answer, as without a drain."""
    check_client(run)
    check_deadlines(run)
    if run.app_ended:
        check_end(run)
        check_messages(run)
        check_exceptions(run)


def check_connection(server: Watched, calls: list[Call]) -> None:
    assert server.violations == []
    client = server.client
    if server.came_while_draining:
        assert client.denial is not None
        assert client.denial.status in (503, 403)
        assert not client.accepted
    # Those that wait for an answer are told in turns of the loop, in the same moment.
    assert math.isnan(server.accepted_while_draining) or server.accepted_while_draining in [c.begun for c in calls]
    if client.close_reason.startswith("drain "):
        call = calls[int(client.close_reason[6:])]
        begins = call.begun + call.grace
        closed_at = server.when("close")
        assert begins - EARLY <= closed_at  # none before its turn
        assert closed_at <= begins + call.spread + EARLY


def check_call(call: Call, exit_timeout: float) -> None:
    assert call.ended < math.inf
    if call.result is None:
        assert call.scope.cancelled_caught
        return
    counted = call.result.ended + call.result.closed + call.result.cancelled
    if call.called_off:
        assert counted <= call.there
    else:
        assert counted == call.there
    assert call.ended <= call.begun + call.grace + call.spread + 2 * exit_timeout + 1 + EARLY
