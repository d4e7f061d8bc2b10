"""Random apps, clients and deadlines in virtual time: the plan of a run, the run, and what must hold of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import hypothesis.strategies as st

from asgi_wsguard import ClientDisconnected, ConnectionReport, ProtocolViolation, WebSocketGuardMiddleware
from harness.apps import AppError
from harness.messages import MORE_MESSAGES, OFFERED
from harness.strategies import NAMES, leaves
from harness.timed import Timed

# What nothing in a plan outlasts: then the client leaves, and the server cancels until the guard has ended.
END = 60.0
# Timers may be that early (see EARLY in deadlines.py).
EARLY = 0.002
LEFT = {"code": 3999, "reason": "left"}

TIMES = st.sampled_from([0.0, 0.125, 0.25, 0.5, 0.5, 0.75, 1.0, 1.0, 1.5, 2.0, 3.0])
LIMITS = st.none() | st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 5.0])
RECEIVING = st.one_of(
    st.tuples(st.just("receive"), st.none()),
    st.tuples(st.just("receive"), TIMES),
    st.tuples(st.just("wait_for"), TIMES),
    st.tuples(st.just("sleep"), TIMES),
)
STEPS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(["accept", "text"])),
    st.tuples(st.just("send"), NAMES),
    RECEIVING,
    st.tuples(st.sampled_from(["sleep", "shield"]), TIMES),
    st.tuples(st.just("read"), st.none()),
    st.tuples(st.just("raise"), st.none()),
)


@dataclass
class Task:
    steps: list[tuple[str, Any]]
    goes_on: bool = False  # after an exception from send() or receive()
    swallows: int = 0  # so many cancellations


TASKS = st.builds(Task, st.lists(STEPS, max_size=5), st.booleans(), st.sampled_from([0, 0, 0, 1, 2]))
DATA = st.just("data")


@dataclass
class Plan:
    """A random app, its client, and when the server stops."""

    first: Task
    tasks: list[Task]
    late: list[Task]  # they outlive the app
    ending: str
    client: list[tuple[float, str]]  # what it does after how long
    stop: float | None
    own_task: bool  # on asyncio: it stops by Task.cancel()


PLANS = st.builds(
    Plan,
    first=TASKS,
    tasks=st.lists(TASKS, max_size=3),
    late=st.lists(TASKS, max_size=1),
    ending=st.sampled_from(["return", "raise", "wait", "read"]),
    client=st.lists(st.tuples(TIMES, DATA | st.sampled_from(["leave", "stop reading", "read", "data"])), max_size=6),
    stop=st.none() | TIMES,
    own_task=st.booleans(),
)

OPTIONS = st.fixed_dictionaries(
    {
        **dict.fromkeys(["handshake_timeout", "exit_timeout", "idle_timeout", "max_lifetime", "send_timeout"], LIMITS),
        "close_timeout": st.none() | st.sampled_from([0.5, 1.0, 5.0]),
    }
)


class Server(Timed):
    """Notes when what happened, and how far the app is behind what was handed out."""

    def __init__(self, **more: Any) -> None:
        super().__init__(subprotocols=OFFERED, **more)
        self.taken_at: list[float] = []  # the client's messages, by the app
        self.handed_at: list[float] = []
        self.ahead = 0
        self.left_at = self.told_at = self.noticed_at = math.inf

    async def receive(self) -> dict[str, Any]:
        message = await super().receive()
        if message["type"] == "websocket.receive":
            self.handed_at.append(anyio.current_time())
            self.ahead = max(self.ahead, len(self.handed_at) - len(self.taken_at))
        elif message["type"] == "websocket.disconnect":
            self.told_at = min(self.told_at, anyio.current_time())
            self.noticed_at = min(self.noticed_at, self.told_at)
        return message

    async def send(self, message: Any) -> None:
        noticed_at = self.noticed_at
        if message["type"].endswith(("close", "body")) and not message.get("more_body"):
            self.noticed_at = min(noticed_at, anyio.current_time())
        try:
            await super().send(message)
        except OSError:
            self.noticed_at = min(self.noticed_at, anyio.current_time())
            raise
        except ValueError:  # refused
            self.noticed_at = noticed_at
            raise

    def when(self, *kinds: str) -> float:
        """Return when the first message of these kinds was sent to it."""
        return min((when for when, kind in self.times if kind in kinds), default=math.inf)


@dataclass
class Run:
    """One run of a plan, with all that was seen of it."""

    plan: Plan
    server: Server
    options: dict[str, Any]
    got: list[list[int]] = field(default_factory=list)  # by each task
    told: list[Any] = field(default_factory=list)  # the disconnects
    received_at: list[float] = field(default_factory=list)  # whatever it was
    sends: list[tuple[float, float, BaseException | None]] = field(default_factory=list)
    reports: list[ConnectionReport] = field(default_factory=list)
    opened: int = 0  # how often the observer was told of an accept
    sent: int = 0  # by the client
    ahead: int = 0  # messages that the guard had received and the app had not, at most, until the app ended
    stopped: bool = False
    app_ended: bool = False
    raised_by_app: BaseException | None = None
    on_asyncio: bool = True
    ends_when_told: bool = False
    told_by_cancelling: bool = False  # once it was over

    async def go(self) -> None:
        self.on_asyncio = anyio.get_cancelled_exc_class() is asyncio.CancelledError
        async with anyio.create_task_group() as self.outside:
            self.outside.start_soon(self.act_as_client)
            self.outside.start_soon(self.stop)
            guarded = WebSocketGuardMiddleware(self.app, observers=[Observer(self)], **self.options)
            if self.on_asyncio:
                task = asyncio.get_running_loop().create_task(self.server.serve(guarded))
                self.server.task = task if self.plan.own_task else None
                await asyncio.wait([task])
                assert self.stopped or not task.cancelled()
            else:
                await self.server.serve(guarded)
            self.server.client_reads()
            for _ in range(10):  # for the tasks that outlive the app
                await anyio.lowlevel.checkpoint()
            self.outside.cancel_scope.cancel()

    async def act_as_client(self) -> None:
        for pause, act in self.plan.client:
            await anyio.sleep(pause)
            if act == "leave":
                break
            if act == "data":
                if self.server.client.accepted:  # else no server reads it, as the handshake is not over
                    self.server.client_sends(str(self.sent))
                    self.sent += 1
            elif act == "stop reading":
                self.server.client_stops_reading()
            else:
                self.server.client_reads()
        else:
            await anyio.sleep_until(END)
        self.server.left_at = anyio.current_time()
        self.server.client_leaves(**LEFT)

    async def stop(self) -> None:
        if self.plan.stop is not None:
            await anyio.sleep(self.plan.stop)
            self.stopped = True
            self.server.stops()
        await anyio.sleep_until(END)
        for _ in range(20):
            self.stopped = True
            self.server.stops()
            await anyio.sleep(5)

    # The app

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            for late in self.plan.late:
                self.outside.start_soon(self.act_late, late, receive, send)
            await self.act(self.plan.first, receive, send)
            async with anyio.create_task_group() as group:
                for task in self.plan.tasks:
                    group.start_soon(self.act, task, receive, send)
            if self.plan.ending == "raise":
                raise AppError("secret")
            if self.plan.ending == "wait":
                await anyio.sleep_forever()
            if self.plan.ending == "read":
                await self.act(Task([("read", None)]), receive, send)
        except BaseException as exc:
            self.raised_by_app = exc
            raise
        finally:
            self.app_ended = True
            self.ahead = self.server.ahead  # later the guard looks for the disconnect behind all that is unread

    async def act_late(self, task: Task, receive: Any, send: Any) -> None:
        with contextlib.suppress(Exception):  # no one sees them
            await self.act(task, receive, send)

    async def act(self, task: Task, receive: Any, send: Any) -> None:
        swallows, told = task.swallows, False
        got: list[int] = []
        self.got.append(got)

        async def take() -> Any:
            nonlocal told
            message = await receive()
            self.received_at.append(anyio.current_time())
            if message["type"] == "websocket.disconnect":
                self.told.append(message)
                told = True
            elif message["type"] == "websocket.receive":
                got.append(int(message["text"]))
                self.server.taken_at.append(anyio.current_time())
            return message["type"]

        for kind, value in task.steps:
            if told and self.ends_when_told:
                return
            try:
                if kind == "send":
                    await self.sending(send(MORE_MESSAGES[value]))
                else:
                    await self.step(kind, value, take)
            except Exception:
                if not task.goes_on:
                    raise
            except anyio.get_cancelled_exc_class():
                if not swallows:
                    raise
                swallows -= 1
                self.told_by_cancelling |= self.server.noticed_at <= anyio.current_time()

    async def step(self, kind: str, value: Any, take: Any) -> None:
        if kind == "raise":
            raise AppError("secret")
        if kind == "sleep":
            await anyio.sleep(value)
        elif kind == "shield":
            with anyio.CancelScope(shield=True):
                await anyio.sleep(value)
        elif kind == "read":
            while await take() != "websocket.disconnect":
                pass
        elif kind == "wait_for" and self.on_asyncio:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(take(), value)
        else:
            with anyio.move_on_after(value):
                await take()

    async def sending(self, coroutine: Any) -> None:
        start = anyio.current_time()
        raised: BaseException | None = None
        try:
            await coroutine
        except BaseException as exc:
            raised = exc
            raise
        finally:
            self.sends.append((start, anyio.current_time(), raised))

    # What a task may add to the time that the app takes after its first cancellation

    def steps(self, kind: str) -> Iterator[Any]:
        for task in (self.plan.first, *self.plan.tasks):
            for step, value in task.steps:
                if step == kind:
                    yield value

    def own_times(self) -> Iterator[float]:
        for task in (self.plan.first, *self.plan.tasks):
            for _, value in task.steps:
                if isinstance(value, (int, float)):
                    yield value

    @property
    def may_know(self) -> bool:
        every = (self.plan.first, *self.plan.tasks, *self.plan.late)
        sent = [value for task in every for step, value in task.steps if step == "send"]
        ends = any(not value.startswith(("accept", "text", "bytes")) for value in sent)
        told = bool(self.told) or self.told_by_cancelling
        return ends or told or any(isinstance(raised, ClientDisconnected) for _, _, raised in self.sends)

    @property
    def denies_in_vain(self) -> bool:
        return not self.server.scope["extensions"] and ("send", "start") in [
            step for task in (self.plan.first, *self.plan.tasks, *self.plan.late) for step in task.steps
        ]

    @property
    def swallows(self) -> int:
        # Before Python 3.12 asyncio.wait_for() swallowed a cancellation that came with what it waited for.
        wait_for = len(list(self.steps("wait_for"))) if sys.version_info < (3, 12) else 0
        return wait_for + sum(task.swallows for task in (self.plan.first, *self.plan.tasks))


class Observer:
    """Takes its time, though it takes no time."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def opened(self, route: str) -> None:
        self._run.opened += 1

    async def __call__(self, report: ConnectionReport) -> None:
        await anyio.lowlevel.checkpoint()
        self._run.reports.append(report)


def check_report(run: Run) -> None:
    """There is one, and it tells what the client has seen."""
    (report,) = run.reports
    client = run.server.client
    assert run.opened == (report.open_for is not None)
    # A server may drop in silence an accept to a client that has left.
    assert client.accepted or not run.opened or client.left
    assert run.opened or not client.accepted
    if report.status is not None:
        assert client.denial is None or report.status == client.denial.status
    if report.close_code is not None and report.closed_by != "client":
        assert client.close_code in (report.close_code, None)
    if report.answered_after is not None:
        assert 0 <= report.answered_after <= run.server.ended_at
    if report.open_for is not None:
        assert 0 <= report.open_for <= run.server.ended_at - report.answered_after


def check_client(run: Run) -> None:
    """It has one legal answer, and is not left waiting."""
    server, client = run.server, run.server.client
    assert server.violations == []
    # At the very moment of the disconnect an answer of the guard's may be on its way.
    assert not server.sent_after_disconnect or server.times[-1][0] == server.told_at
    if not (client.left or client.ended):
        cut = client.denial is not None  # a denial that the app broke off (H8)
        # A close that the server refuses is its own to deal with (O11), or was cancelled before it could say so, or
        # a task was sending it that the app left behind, and nothing was owed when the app ended.
        refused = client.accepted and server._refused_codes and (server.error or run.stopped or run.plan.late)
        assert cut or refused


def check_deadlines(run: Run) -> None:
    server, option = run.server, run.options
    answered = server.when("accept", "close", "body")
    over = min(server.left_at, server.when("close"))
    if option["handshake_timeout"]:
        assert min(answered, server.left_at, server.ended_at) <= option["handshake_timeout"]
    if not server.client.accepted or server._refused_codes:
        return
    if option["max_lifetime"]:
        assert over <= server.when("accept") + option["max_lifetime"]
    if option["idle_timeout"]:
        check_idle(run, over)
    if option["send_timeout"]:
        for start, end, _ in run.sends:
            assert end <= start + 1.125 * option["send_timeout"] or over <= start + 1.125 * option["send_timeout"]


def check_idle(run: Run, over: float) -> None:
    """Neither too late nor too early."""
    server, seconds = run.server, run.options["idle_timeout"]
    active = [when for when, kind in server.times if kind in ("accept", "send")] + server.handed_at
    more_active = active + run.received_at + [start for start, _, _ in run.sends]
    assert over <= max(when for when in more_active if when <= over) + 1.125 * seconds
    lifetime = run.options["max_lifetime"] or math.inf
    if (server.client.close_code, server.client.close_reason) == (1001, "") and over < server.when("accept") + lifetime:
        assert over >= max(when for when in active if when < over) + seconds


def check_end(run: Run) -> None:
    """The guard has ended when it had to."""
    server, exit_timeout = run.server, run.options["exit_timeout"]
    if len(server.taken_at) == run.sent and not server._refused_codes:
        # Where the app leaves a message, the guard does not look for the next.
        assert min(server.noticed_at, server.ended_at) <= max(server.left_at, *server.taken_at, 0) + 1
    # On trio a task that wakes up in the very moment may miss its cancellation; it comes again each second.
    slack = sum(run.steps("shield")) + (0 if run.on_asyncio else 5)
    # Where the server cannot deny with a response, the client has its answer before the app is through with it (H9).
    if exit_timeout and not run.denies_in_vain and not (run.plan.ending == "wait" and run.may_know):
        # One that knows is left to itself, but for where it uses the connection (O16).
        own_time = sum(run.own_times())
        assert server.ended_at <= server.noticed_at + exit_timeout * (2 + run.swallows) + own_time + slack
    stop = END if run.plan.stop is None else run.plan.stop
    if server.task is None:
        assert server.ended_at <= stop + slack
    # Before Python 3.11 a time limit of the app's own takes a cancellation for its own that comes in the same moment.
    if sys.version_info >= (3, 11) and server.task is not None and server.ended_at > stop and not run.swallows:
        assert server.cancelled or server.error or isinstance(run.raised_by_app, Exception)


def check_messages(run: Run) -> None:
    """None is lost, and the guard is never ahead by more than one."""
    assert run.ahead <= 1
    assert all(numbers == sorted(numbers) for numbers in run.got)
    together = sorted(number for numbers in run.got for number in numbers)
    assert together == list(range(len(together)))
    for disconnect in run.told:
        assert disconnect.get("reason") != LEFT["reason"] or len(together) == run.sent


def check_exceptions(run: Run) -> None:
    for _, _, exc in run.sends:
        refused = isinstance(exc, ValueError) and "this server does not send" in str(exc)
        assert refused or isinstance(exc, (ProtocolViolation, ClientDisconnected)) or not isinstance(exc, Exception)
    app, error = run.raised_by_app, run.server.error
    # Trio takes the cancellations out of a group.
    if error is not None and (app is None or not set(leaves(error)) <= set(leaves(app))):
        assert isinstance(error, ValueError), repr(error)
        assert run.server._refused_codes
    if error is None and isinstance(app, Exception):
        assert all(isinstance(leaf, ClientDisconnected) for leaf in leaves(app)), repr(app)
