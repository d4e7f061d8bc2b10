"""Random working apps, bare and guarded, in virtual time: what they see and do is the same ("First, do no harm")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import anyio
import hypothesis.strategies as st
import pytest
from hypothesis import given

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time

pytestmark = pytest.mark.usefixtures("quiet")


Journal = dict[str, list[Any]]

# What real servers do after the end: spec_version, whether send() raises, whether receive() repeats the disconnect.
KINDS = st.sampled_from(
    [
        ("2.4", True, True),  # uvicorn, gunicorn
        ("2.3", False, False),  # hypercorn, daphne
        ("2.3", False, True),  # granian
    ]
)


@dataclass
class Plan:
    """A working app and its client. The client acts between the app's moments, so that the order is no accident."""

    headers: list[tuple[bytes, bytes]]
    pushes: int  # one each second, from a task of its own
    cleanup: float  # seconds, once it has been told of the end
    where: str  # of the clean-up
    farewell: bool
    closes: bool
    quits_after: int | None  # it ends by itself after so many messages
    client: list[str]  # one act a second


PLANS = st.builds(
    Plan,
    headers=st.lists(st.sampled_from([(b"x-a", b"1"), (b"set-cookie", b"a=b"), (b"X-B", b"")]), max_size=3),
    pushes=st.integers(0, 12),
    cleanup=st.sampled_from([0, 1.25, 55.25, 61.25, 300.25]),
    where=st.sampled_from(["plain", "finally", "shield", "after close"]),
    farewell=st.booleans(),
    closes=st.booleans(),
    quits_after=st.none() | st.integers(0, 4),
    client=st.lists(st.sampled_from(["wait", "talk"]), max_size=8),
)


class App:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.journal: Journal = {"main": [], "push": []}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._receive, self._send = receive, send
        try:
            await self._take()
            await self._give("main", {"type": "websocket.accept", "headers": self.plan.headers})
            async with anyio.create_task_group() as group:
                group.start_soon(self._push)
                await self._read()
                group.cancel_scope.cancel()
            await self._finish()
        finally:
            self.journal["main"].append("ended")

    async def _take(self) -> Any:
        message = await self._receive()
        self.journal["main"].append(message)
        return message

    async def _give(self, task: str, message: Any) -> bool:
        try:
            await self._send(message)
        except Exception as exc:
            if isinstance(exc, OSError) and message["type"] == "websocket.close":
                # O5: behind the guard nothing happens.
                self.journal[task].append((message["type"], None))
                return True
            # The guard's ClientDisconnected is the OSError that a server raises.
            self.journal[task].append((message["type"], OSError if isinstance(exc, OSError) else type(exc)))
            return False
        self.journal[task].append((message["type"], None))
        return True

    async def _push(self) -> None:
        for number in range(self.plan.pushes):
            await anyio.sleep(1)
            if not await self._give("push", {"type": "websocket.send", "text": str(number)}):
                return

    async def _read(self) -> None:
        count = 0
        while self.plan.quits_after is None or count < self.plan.quits_after:
            message = await self._take()
            if message["type"] == "websocket.disconnect":
                return
            count += 1
            await self._give("main", {"type": "websocket.send", "text": "echo " + message["text"]})

    async def _finish(self) -> None:
        if self.plan.farewell:
            await self._give("main", {"type": "websocket.send", "text": "farewell"})
        # O12: who does not know that the client has left is cancelled after 60 s.
        told = any(isinstance(seen, dict) and seen["type"] == "websocket.disconnect" for seen in self.journal["main"])
        cleanup = self.plan.cleanup if told else min(self.plan.cleanup, 55.25)
        try:
            if self.plan.where != "after close":
                with anyio.CancelScope(shield=self.plan.where == "shield"):
                    await anyio.sleep(0 if self.plan.where == "finally" else cleanup)
        finally:
            if self.plan.where == "finally":
                await anyio.sleep(cleanup)
            self.journal["main"].append("cleaned up")
        if self.plan.closes:
            await self._give("main", {"type": "websocket.close", "code": 3001})
        if self.plan.where == "after close" and self.plan.closes:
            await anyio.sleep(self.plan.cleanup)
            self.journal["main"].append("cleaned up after its close")


async def play(plan: Plan, kind: tuple[str, bool, bool], **options: Any) -> tuple[Journal, StrictServer]:
    """Play the app; guarded when there are options."""
    version, raises, repeats = kind
    server = StrictServer(raise_when_gone=raises, repeat_disconnect=repeats)
    server.scope["asgi"]["spec_version"] = version
    app = App(plan)
    async with anyio.create_task_group() as group:

        async def act_as_client() -> None:
            await anyio.sleep(0.5)
            for act in plan.client:
                if act == "talk":
                    server.client_sends("hello")
                await anyio.sleep(1)
            server.client_leaves(4000, "left")

        group.start_soon(act_as_client)
        await server.run(WebSocketGuardMiddleware(app, **options) if options else app)
        group.cancel_scope.cancel()
    return app.journal, server


@given(plan=PLANS, kind=KINDS)
@in_virtual_time
async def test_a_working_app_does_the_same_behind_the_guard(plan: Plan, kind: tuple[str, bool, bool]) -> None:
    bare, bare_server = await play(plan, kind)
    guarded, server = await play(plan, kind, strict=False)
    assert guarded == bare
    assert server.violations == []
    assert server.client.messages == bare_server.client.messages
    assert server.client.headers == bare_server.client.headers
    if bare_server.client.ended:
        assert server.client.close_code == bare_server.client.close_code
    elif not server.client.left:
        assert server.client.close_code == 1000  # O1
