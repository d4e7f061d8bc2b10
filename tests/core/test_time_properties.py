"""Random apps, clients and deadlines in virtual time, on asyncio and on trio.

What the app, the client and the server do happens at moments that often coincide, with each other and with deadlines.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from harness.clock import in_virtual_time
from harness.strategies import SERVERS
from harness.timed_runs import (
    OPTIONS,
    PLANS,
    RECEIVING,
    TIMES,
    Plan,
    Run,
    Server,
    Task,
    check_client,
    check_deadlines,
    check_end,
    check_exceptions,
    check_messages,
    check_report,
)

pytestmark = pytest.mark.usefixtures("quiet")


@settings(max_examples=3 * settings.default.max_examples)
@given(plan=PLANS, server=SERVERS, options=OPTIONS)
@in_virtual_time
async def test_any_app_in_time(plan: Plan, server: dict[str, Any], options: dict[str, Any]) -> None:
    run = Run(plan, Server(**server), options)
    await run.go()
    assert run.app_ended
    check_client(run)
    check_deadlines(run)
    check_end(run)
    check_messages(run)
    check_exceptions(run)
    check_report(run)


@given(
    tasks=st.lists(st.lists(RECEIVING, max_size=8), min_size=1, max_size=3),
    client=st.lists(TIMES, max_size=12),
    server=SERVERS,
    again=st.booleans(),
)
@in_virtual_time
async def test_no_message_is_lost(tasks: Any, client: Any, server: dict[str, Any], again: bool) -> None:
    """Tasks that receive, with time limits and without, and in the end read what is left."""
    plan = Plan(
        first=Task([("send", "accept")]),
        tasks=[Task([*steps, ("read", None)]) for steps in tasks],
        late=[],
        ending="read" if again else "return",
        client=[*((pause, "data") for pause in client), (1.0, "leave")],
        stop=None,
        own_task=False,
    )
    run = Run(plan, Server(**server), {"exit_timeout": None})
    run.ends_when_told = True
    await run.go()
    assert run.server.error is None
    assert len(run.told) >= len(tasks) + again
    assert sum(map(len, run.got)) == run.sent
    check_messages(run)
    if len(tasks) == 1:
        assert sum(run.got, []) == list(range(run.sent))  # noqa: RUF017
