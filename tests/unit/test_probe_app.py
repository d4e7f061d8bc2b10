"""The probe's scenarios in memory, on asyncio and on trio, and what its app tells about them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from asgi_wsguard.probe import app as probe
from asgi_wsguard.probe.model import Closed, Cut, Denied, Gone, Leave, Say, Scenario
from asgi_wsguard.probe.scenarios import SCENARIOS, ProbeError
from asgi_wsguard.testing import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let each event loop have its own usual tasks."""
    monkeypatch.setattr(probe, "_usual", None)
    yield
    probe._visits.clear()


async def get(path: str) -> dict[str, Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await probe.app({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
    assert sent[0]["status"] == 200
    found: dict[str, Any] = json.loads(sent[1]["body"])
    return found


def gets(server: StrictServer, scenario: Scenario) -> None:
    """Check what the client got, over a server that can do everything."""
    client, expected = server.client, scenario.client_gets
    if isinstance(expected, (Denied, Cut)):
        assert client.denial is not None
        assert client.denial.status == expected.status
        assert client.denial.complete == isinstance(expected, Denied)
    elif isinstance(expected, Closed):
        assert tuple(client.messages) == expected.messages
        if not client.left:
            assert (client.close_code, client.close_reason) == (expected.code, expected.reason)
    else:
        assert isinstance(expected, Gone)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
async def test_contract_holds(scenario: Scenario) -> None:
    await get("/left/0/0")  # the usual tasks
    server = StrictServer(f"/guarded/{scenario.name}/0", subprotocols=scenario.offers)
    raised = ""

    async def serve() -> None:
        nonlocal raised
        try:
            await server.run(probe.app)
        except Exception as error:
            raised = type(error).__name__

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        for step in scenario.steps:
            await anyio.wait_all_tasks_blocked()
            if isinstance(step, Say):
                server.client_sends(step.text)
            else:
                server.client_leaves(1000 if isinstance(step, Leave) else 1006)
    assert raised == scenario.raises
    assert server.violations == []
    gets(server, scenario)
    left = await get("/left/0/5")
    assert (left["called"], left["running"], left["tasks"], left["extension"]) == (True, False, [], True)
    assert tuple(left["notes"]) == scenario.app_sees


async def test_bare() -> None:
    server = StrictServer("/bare/raises/0")
    with pytest.raises(ProbeError):
        await server.run(probe.app)
    assert not server.client.answered
    assert (await get("/left/0/0"))["log"] == []


async def test_what_is_left() -> None:
    await get("/left/0/0")
    server = StrictServer("/bare/ends-by-leaving/0")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run, probe.app)
        await anyio.wait_all_tasks_blocked()
        left = await get("/left/0/0.02")
        assert (left["called"], left["running"], len(left["tasks"])) == (True, True, 1)
        tasks.cancel_scope.cancel()


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


async def test_swallowed_cancellation_is_noted() -> None:
    async def swallows(scope: Any, receive: Any, send: Any) -> None:
        probe.VISIT.get().server.cancel()

    probe._BY_NAME["swallows"] = Scenario("swallows", "H3", "swallows its cancellation", swallows, Gone())
    try:
        await StrictServer("/bare/swallows/0").run(probe.app)
    finally:
        del probe._BY_NAME["swallows"]
    assert (await get("/left/0/0"))["notes"] == ["the cancellation was swallowed"]


def test_log_outside_of_a_visit() -> None:
    probe._logger.warning("kept nowhere")
    assert probe._visits == {}
