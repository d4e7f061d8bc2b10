"""Random apps that work, on servers as the real ones are, in virtual time: the plan, the app and its journal.

No two things happen at the same moment that need an order: the app sleeps for quarters of a second, each of its tasks
begins a little later than the one before, and the client acts at moments that no sum of these reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import hypothesis.strategies as st

from asgi_wsguard.testing import StrictServer
from harness.apps import AppError
from harness.messages import OFFERED

Journal = dict[str, list[Any]]

# The message that a wrapper of receive() has seen last, as a tracer sets it (O8 tells each task of the end on its own).
SEEN: ContextVar[str] = ContextVar("seen", default="nothing")
LEFT = (4000, "left")


@dataclass(frozen=True)
class Kind:
    """What a real server does after the end, and what it cannot do."""

    version: str
    raises: bool
    repeats: bool
    denial: bool = True
    refuses: Any = ()


KINDS = {
    "uvicorn": Kind("2.4", raises=True, repeats=True),
    "gunicorn": Kind("2.4", raises=True, repeats=True, denial=False),
    "hypercorn": Kind("2.3", raises=False, repeats=False),
    "daphne": Kind("2.3", raises=False, repeats=False, denial=False, refuses=range(1001, 3000)),
    "granian": Kind("2.3", raises=False, repeats=True),
}


class Server(StrictServer):
    """A server of a kind. Bare, it does after the end what its kind does. Guarded, nothing must come by then."""

    def __init__(self, kind: Kind, plan: Plan, *, bare: bool) -> None:
        super().__init__(
            subprotocols=OFFERED,
            denial_extension=kind.denial,
            refused_codes=kind.refuses,
            raise_when_gone=kind.raises,
            repeat_disconnect=kind.repeats,
            # The guard takes a close that comes after the end without one (O5), also in a scope that is cancelled.
            send_checkpoints=0 if plan.is_cancelled else plan.checkpoints,
        )
        self.scope["asgi"]["spec_version"] = kind.version
        self.kind = kind
        self._bare = bare

    def client_leaves(self, code: int = 1005, reason: str = "") -> None:
        super().client_leaves(code, reason)
        self._refused_codes = ()  # it refuses none for a client that has left

    async def receive(self) -> dict[str, Any]:
        message = await super().receive()
        SEEN.set(message.get("text", message["type"]))
        return message

    async def send(self, message: Any) -> None:
        over = self.client.ended or self.client.left or self._spec.app_ended
        if not (self._bare and over):
            return await super().send(message)
        for _ in range(self._send_checkpoints):
            await anyio.lowlevel.checkpoint()
        if self.kind.raises:
            raise OSError("it is over")


# Primes, so that no two tasks do a step at the same moment.
OFFSETS = {"task 0": 0.0307, "task 1": 0.0617, "task 2": 0.0929, "late 0": 0.0431}
TIMES = st.sampled_from([0.0, 0.25, 1.0, 2.0, 3.25])
DATA = st.sampled_from(
    [{"text": "tick"}, {"bytes": b"\x00"}, {"text": "t", "bytes": None}, {"bytes": b"b", "text": None}]
)
CLOSES = st.sampled_from(
    [
        {},
        {"code": 1000},
        {"code": 3001, "reason": "enough"},
        {"code": 1001, "reason": ""},
        {"code": 4000, "reason": None},
    ]
)
HEADERS = st.sampled_from([(b"x-a", b"1"), (b"set-cookie", b"a=b"), (b"X-B", b""), [b"x-list", b"2"]])
STEPS = st.one_of(
    st.tuples(st.just("send"), DATA),
    st.tuples(st.just("send"), DATA),
    st.tuples(st.just("receive"), st.none()),
    st.tuples(st.just("receive"), st.none()),
    st.tuples(st.sampled_from(["wait_for", "move_on_after", "sleep", "shield"]), TIMES),
    st.tuples(st.just("scope"), TIMES.filter(bool)),
    st.tuples(st.just("echo"), st.integers(1, 4)),
    st.tuples(st.just("close"), CLOSES),
    st.tuples(st.just("cancel"), st.none()),
)


@dataclass
class Task:
    """What a task of the app does, and how it cleans up when it ends, or is cancelled."""

    steps: list[tuple[str, Any]]
    then: str  # after an error of send()
    cleanup: float
    cleans: str  # "finally", shielded, or "except"


TASKS = st.builds(
    Task,
    st.lists(STEPS, max_size=6),
    st.sampled_from(["goes on", "gives up", "gives up", "lets it out"]),
    TIMES,
    st.sampled_from(["finally", "except", "not at all"]),
)


@dataclass
class Plan:
    """A working app, its client, and when the server stops."""

    takes_connect: bool
    thinks: float  # before it answers
    answer: str
    accept: dict[str, Any]
    denial: tuple[dict[str, Any], list[tuple[float, bytes]]]  # its start, and the parts of its body
    tasks: list[Task]
    late: list[Task]  # they outlive it
    reads: bool  # in the end, until it is told
    farewell: bool
    cleanup: float
    where: str
    closes: dict[str, Any] | None
    raises: bool
    client: list[str]  # an act each second
    stop: float | None
    own_task: bool
    checkpoints: int  # of the server's send()

    @property
    def is_cancelled(self) -> bool:
        """Whether any task of it is."""
        return self.stop is not None or any(step == "cancel" for task in self.tasks for step, _ in task.steps)


PLANS = st.builds(
    Plan,
    takes_connect=st.sampled_from([True, True, True, False]),
    thinks=st.sampled_from([0.0, 0.0, 2.25, 25.25]),
    answer=st.sampled_from([*["accept"] * 6, "close", "deny"]),
    accept=st.fixed_dictionaries(
        {},
        optional={"headers": st.lists(HEADERS, max_size=3), "subprotocol": st.sampled_from([None, *OFFERED])},
    ),
    denial=st.tuples(
        st.fixed_dictionaries({"status": st.sampled_from([401, 404, 503])}, optional={"headers": st.lists(HEADERS)}),
        st.lists(st.tuples(TIMES, st.sampled_from([b"", b"part"])), min_size=1, max_size=3),
    ),
    tasks=st.lists(TASKS, max_size=3),
    late=st.lists(TASKS, max_size=1),
    reads=st.booleans(),
    farewell=st.booleans(),
    cleanup=st.sampled_from([0, 1.25, 55.25, 61.25, 300.25]),
    where=st.sampled_from(["plain", "finally", "shield", "after close"]),
    closes=st.none() | CLOSES,
    raises=st.sampled_from([False, False, False, True]),
    client=st.lists(st.sampled_from(["wait", "talk", "talk", "stop reading", "read"]), max_size=8),
    stop=st.none() | st.integers(0, 12).map(lambda seconds: seconds + 0.7),
    own_task=st.booleans(),
    checkpoints=st.integers(0, 2),
)


def named(exc: BaseException) -> str:
    """Return the exception's name in the journal: the guard's ClientDisconnected is the OSError of a server."""
    return "OSError" if isinstance(exc, OSError) else type(exc).__name__


@dataclass
class Run:
    """One run of a plan, with all that was seen of it."""

    plan: Plan
    server: Server
    journal: Journal = field(default_factory=dict)
    error: BaseException | None = None  # that reached the server
    errors: dict[str, Exception] = field(default_factory=dict)  # the last one of send(), of each task
    told: set[str] = field(default_factory=set)
    told_at: float = math.inf
    over: bool = False  # and the app knows: it was told, has closed or denied, or a send() raised
    closed_at: float = math.inf
    began: float = field(default_factory=anyio.current_time)

    async def go(self, guard: Any) -> None:
        """Play the app; `guard` is what is between it and the server."""
        self.on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError
        # Trio shuffles tasks that wake up at the same moment.
        self.in_order = self.on_asyncio or len(self.plan.tasks) + len(self.plan.late) < 2
        async with anyio.create_task_group() as self.outside:
            self.outside.start_soon(self.act_as_client)
            scope = anyio.CancelScope()
            task = None
            if self.plan.own_task and self.on_asyncio:
                task = asyncio.get_running_loop().create_task(self.serve(guard(self.app), anyio.CancelScope()))
            if self.plan.stop is not None:
                self.outside.start_soon(self.stop, scope if task is None else task)
            if task is None:
                await self.serve(guard(self.app), scope)
            else:
                await asyncio.wait([task])
            await anyio.sleep(60)  # for those that outlive the app
            self.outside.cancel_scope.cancel()

    async def serve(self, app: Any, scope: anyio.CancelScope) -> None:
        with contextlib.suppress(Exception), scope:  # what is left of a group without its cancellation
            try:
                await self.server.run(app)
            except BaseException as exc:
                self.error = exc
                raise

    async def stop(self, what: Any) -> None:
        await anyio.sleep(self.plan.stop)
        what.cancel()

    async def act_as_client(self) -> None:
        for number, act in enumerate([*self.plan.client, "leave"]):
            await anyio.sleep_until(self.began + number + 0.601 + number * number / 1000)
            if act == "talk":
                # Else no server reads it, as the handshake is not over.
                if self.server.client.accepted:
                    self.server.client_sends(f"hello {number}")
            elif act == "stop reading" and self.in_order:
                self.server.client_stops_reading()
            elif act == "read":
                self.server.client_reads()
            elif act == "leave":
                self.server.client_leaves(*LEFT)

    # The app

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self._receive, self._send = receive, send
        try:
            if self.plan.takes_connect:
                await self.take("main")
            await anyio.sleep(self.plan.thinks)
            is_open = await self.answer()
            for number, late in enumerate(self.plan.late):
                self.outside.start_soon(self.act_late, f"late {number}", late)
            if is_open:
                async with anyio.create_task_group() as self.group:
                    for number, task in enumerate(self.plan.tasks):
                        self.group.start_soon(self.act, f"task {number}", task)
                if self.plan.reads:
                    await self.step("main", "echo", 100)
                await self.finish()
            if self.plan.raises:
                raise AppError("secret")
        except BaseException as exc:
            self.note("main", named(exc))
            raise
        finally:
            self.note("main", "ended")

    def note(self, who: str, what: Any) -> None:
        self.journal.setdefault(who, []).append((round(anyio.current_time() - self.began, 4), what))

    async def answer(self) -> bool:
        """Answer the handshake, and return whether the app goes on as if it were open."""
        denial = self.plan.answer == "deny" and self.server.kind.denial
        if self.plan.answer == "accept":
            return await self.give("main", {"type": "websocket.accept", **self.plan.accept})
        self.over = True
        if not denial:
            await self.close("main", {})
        else:
            await self.deny()
        if self.server.kind.repeats:
            with anyio.move_on_after(3):
                await self.take("main")  # H5
        return False

    async def deny(self) -> None:
        start, parts = self.plan.denial
        try:
            await self._send({"type": "websocket.http.response.start", **start})
            for number, (pause, body) in enumerate(parts):
                await anyio.sleep(pause if number else 0)
                more = {"more_body": True} if number < len(parts) - 1 else {}
                await self._send({"type": "websocket.http.response.body", "body": body, **more})
        except OSError:
            self.note("main", "not denied")
        else:
            self.note("main", "denied")

    async def act_late(self, who: str, task: Task) -> None:
        with contextlib.suppress(OSError):  # nobody sees it
            await self.act(who, task)

    async def act(self, who: str, task: Task) -> None:
        own = OFFSETS[who]
        await anyio.sleep(own)
        async with self.cleaned_up(who, task):
            for kind, value in task.steps:
                went_well = await self.step(who, kind, value)
                await anyio.sleep(own / 5)  # it may have been woken together with others
                if not went_well and task.then != "goes on":
                    self.note(who, task.then)
                    if task.then == "lets it out":
                        raise self.errors[who]
                    return

    @contextlib.asynccontextmanager
    async def cleaned_up(self, who: str, task: Task) -> AsyncIterator[None]:
        try:
            yield
        except BaseException as exc:
            self.note(who, named(exc))
            if task.cleans == "except":
                await anyio.sleep(task.cleanup)  # a Task.cancel() lets it be, a scope does not
                self.note(who, "has cleaned up after an exception")
            raise
        finally:
            if task.cleans == "finally":
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(task.cleanup)
                    self.note(who, "has cleaned up")

    async def step(self, who: str, kind: str, value: Any) -> bool:
        """Do one step; return whether it went well."""
        if kind == "send":
            return await self.give(who, {"type": "websocket.send", **value})
        if kind == "close":
            # Else the one that reads is told by some servers only (O8).
            return not (self.server.kind.repeats or who == "task 0") or await self.close(who, value)
        if kind == "sleep":
            await anyio.sleep(value)
        elif kind == "shield":
            with anyio.CancelScope(shield=True):
                await anyio.sleep(value)
        elif kind == "cancel":
            if not who.startswith(("late", "main")):
                self.group.cancel_scope.cancel()
                await anyio.sleep(0)
        elif kind == "scope":
            with anyio.move_on_after(value) as scope:
                await self.give(who, {"type": "websocket.send", "text": "in a scope"})
                await anyio.sleep(2.125)
            self.note(who, ("scope", scope.cancelled_caught))
        elif self.may_receive(who):
            await self.read(who, kind, value)
        return True

    def may_receive(self, who: str) -> bool:
        """Return whether an app that works receives by now, and all servers do the same."""
        repeats = self.server.kind.repeats
        if who in self.told or self.told_at < anyio.current_time():
            return False
        if not repeats and (self.told or self.over):
            return False  # some tell nobody after the app's own close, and one task only (O8)
        if anyio.current_time() > self.closed_at + 4:
            return False  # by then the guard tells of the end, whatever it has not read (O8)
        return who in ("main", "task 0") or (who.startswith("task") and repeats and self.on_asyncio)

    async def read(self, who: str, kind: str, value: Any) -> None:
        if kind == "echo":
            while value and self.may_receive(who) and (message := await self.take(who)).get("text"):
                await self.give(who, {"type": "websocket.send", "text": "echo " + message["text"]})
                value -= 1
        elif kind == "wait_for" and self.on_asyncio:
            try:
                await asyncio.wait_for(self.take(who), value)
            except asyncio.TimeoutError:
                self.note(who, "nothing came")
        else:
            with anyio.move_on_after(float("inf") if value is None else value) as scope:
                await self.take(who)
            self.note(who, ("received", scope.cancelled_caught))

    async def take(self, who: str) -> Any:
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            if not self.told:  # no matter which of those who wait, as they are all told in the same moment
                self.told_at = anyio.current_time()
                self.note("told", (message["code"], message.get("reason") or ""))
            self.told.add(who)
            self.over = True
        else:
            self.note(who, (message, SEEN.get()))
        return message

    async def give(self, who: str, message: Any) -> bool:
        try:
            await self._send(message)
        except OSError as exc:
            self.over, self.errors[who] = True, exc
            self.note(who, (message["type"], OSError))
            return False
        self.note(who, (message["type"], None))
        return True

    async def close(self, who: str, how: dict[str, Any]) -> bool:
        """Close: where the client has left, some servers raise, and the guard does not (O5)."""
        try:
            await self._send({"type": "websocket.close", **how})
        except ValueError as exc:  # the server refused the code, and it is open still
            self.errors[who] = exc
            self.note(who, ("close", type(exc)))
            return False
        except OSError:
            pass
        self.over, self.closed_at = True, min(self.closed_at, anyio.current_time())
        self.note(who, ("close", None))
        return True

    async def finish(self) -> None:
        if self.plan.farewell:
            await self.give("main", {"type": "websocket.send", "text": "farewell"})
        # O12: who does not know that the client has left is cancelled after 60 s.
        cleanup = self.plan.cleanup if self.over else min(self.plan.cleanup, 1.25)
        try:
            if self.plan.where != "after close":
                with anyio.CancelScope(shield=self.plan.where == "shield"):
                    await anyio.sleep(0 if self.plan.where == "finally" else cleanup)
        finally:
            if self.plan.where == "finally":
                await anyio.sleep(cleanup)
            self.note("main", "cleaned up")
        if self.plan.closes is not None and await self.close("main", self.plan.closes):
            # In a scope that is cancelled, it depends on the server whether a receive() returns what is there.
            if self.may_receive("main") and not self.plan.is_cancelled:
                with anyio.move_on_after(3):
                    await self.take("main")
            if self.plan.where == "after close":
                await anyio.sleep(self.plan.cleanup)
                self.note("main", "cleaned up after its close")
