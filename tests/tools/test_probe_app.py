"""The probe's scenarios in memory, on asyncio and on trio, and what its app tells about them."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asgi_wsguard.probe import app as probe
from asgi_wsguard.probe.judge import COARSE
from asgi_wsguard.probe.model import Closed, Cut, Denied, Gone, Hear, Leave, OneOf, Pause, Say, Scenario, Until
from asgi_wsguard.probe.scenarios import SCENARIOS, ProbeError
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each event loop have its own usual tasks."""
    monkeypatch.setattr(probe, "_usual", None)
    yield
    probe._visits.clear()
    probe._served.cache_clear()


async def get(path: str) -> dict[str, Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await probe.app({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
    found: dict[str, Any] = json.loads(sent[1]["body"])
    return found


def gets(server: StrictServer, expected: Any) -> bool:
    """Tell whether the client got that, over a server that can do everything."""
    client = server.client
    if isinstance(expected, OneOf):
        return any(gets(server, outcome) for outcome in expected.outcomes)
    if isinstance(expected, (Denied, Cut)):
        denial = client.denial
        complete = isinstance(expected, Denied)
        return denial is not None and (denial.status, denial.complete) == (expected.status, complete)
    if isinstance(expected, Closed):
        closed = client.left or (client.close_code, client.close_reason) == (expected.code, expected.reason)
        return closed and expected.messages in (None, tuple(client.messages))
    return isinstance(expected, Gone)


async def run(scenario: Scenario) -> None:
    """Run the scenario, and check the result."""
    await get("/left/0/0")  # the usual tasks
    server = StrictServer(f"/guarded/{scenario.name}/0", subprotocols=scenario.offers)
    raised, ended = "", anyio.Event()

    async def serve() -> None:
        nonlocal raised
        try:
            await server.run(probe.app)
        except Exception as error:
            raised = type(error).__name__
        finally:
            ended.set()

    steps = [*scenario.early, *scenario.steps]
    if any(isinstance(step, Until) for step in steps):
        server.client_stops_reading()
    async with anyio.create_task_group() as tasks:
        async with company(scenario):
            tasks.start_soon(serve)
            for done, step in enumerate(steps, 1):
                await take(step, server, heard=sum(isinstance(one, Hear) for one in steps[:done]))
            while not (server.client.ended or server.client.left or ended.is_set()):
                await anyio.sleep(0.01)
        left = await get("/left/0/5")
    assert raised == scenario.raises or scenario.raises is None
    assert server.violations == []
    assert gets(server, scenario.client_gets)
    assert (left["called"], left["running"], left["tasks"], left["extension"]) == (True, False, [], True)
    assert scenario.app_sees in (None, tuple(left["notes"]))
    assert left["seconds"] >= scenario.app_stays - COARSE


@contextlib.asynccontextmanager
async def company(scenario: Scenario) -> AsyncIterator[None]:
    if not scenario.company:
        yield
        return
    first = StrictServer(f"/guarded/{scenario.name}/first")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(first.run, probe.app)
        await anyio.wait_all_tasks_blocked()
        yield
        await anyio.wait_all_tasks_blocked()
        first.client_leaves()


async def take(step: Any, server: StrictServer, heard: int) -> None:
    """Do what the client does; it has heard so many messages then."""
    await anyio.wait_all_tasks_blocked()
    if isinstance(step, Say):
        server.client_sends(step.text)
    elif isinstance(step, Hear):
        while len(server.client.messages) < heard:
            await anyio.sleep(0.01)
    elif isinstance(step, Pause):
        await anyio.sleep(step.seconds)
    elif isinstance(step, Until):
        await get(f"/reached/0/5/{step.note}")
        server.client_reads()
    else:
        server.client_leaves(1000 if isinstance(step, Leave) else 1006)


THREADS = [scenario for scenario in SCENARIOS if scenario.name == "works-in-thread"]


@pytest.mark.parametrize(
    "scenario", [scenario for scenario in SCENARIOS if scenario not in THREADS], ids=lambda scenario: scenario.name
)
@in_virtual_time
async def test_contract_holds(scenario: Scenario) -> None:
    await run(scenario)


@pytest.mark.parametrize("scenario", THREADS, ids=lambda scenario: scenario.name)
async def test_contract_holds_in_real_time(scenario: Scenario) -> None:
    await run(scenario)


async def test_bare() -> None:
    server = StrictServer("/bare/raises/0")
    with pytest.raises(ProbeError):
        await server.run(probe.app)
    assert not server.client.answered
    left = await get("/left/0/0")
    assert (left["log"], left["raised"]) == ([], "ProbeError")


async def test_bare_loop_is_noted() -> None:
    """Without the guard the app loops, and no other task has a turn meanwhile."""
    await StrictServer("/bare/loops-after-close/0").run(probe.app)
    (note,) = (await get("/left/0/0"))["notes"]
    assert note.startswith("1000 messages")


async def test_bare_flood_ends() -> None:
    server = StrictServer("/bare/sends-in-vain/0")
    await server.run(probe.app)
    assert server.client.messages
    assert (await get("/left/0/0"))["notes"] == []


async def test_what_is_left() -> None:
    await get("/left/0/0")
    server = StrictServer("/bare/ends-by-leaving/0")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run, probe.app)
        await anyio.wait_all_tasks_blocked()
        left = await get("/left/0/0.02")
        assert (left["called"], left["running"], len(left["tasks"])) == (True, True, 1)
    # It is stopped then, so that it is not found again after the next visit.
    assert (await get("/left/0/5"))["tasks"] == []


async def test_health() -> None:
    assert await get("/") == {}
    assert (await get("/left/1/0"))["called"] is False


async def test_lifespan() -> None:
    sent: list[Any] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await probe.app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_swallowed_cancellation_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def swallows(scope: Any, receive: Any, send: Any) -> None:
        probe.VISIT.get().server.cancel()

    monkeypatch.setitem(probe._BY_NAME, "test", Scenario("test", "H3", "swallows its cancellation", swallows, Gone()))
    await StrictServer("/bare/test/0").run(probe.app)
    assert (await get("/left/0/0"))["notes"] == ["the cancellation was swallowed"]


def test_log_outside_of_a_visit() -> None:
    probe._logger.warning("kept nowhere")
    assert probe._visits == {}
