"""Random apps on random servers, on asyncio and on trio, and the state machine by itself.

An app here is some tasks that send and receive at once, and some that outlive it; it ends in any way, its client leaves
at any moment, and it may be cancelled at any moment.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from asgi_wsguard import (
    ClientDisconnected,
    ConnectionReport,
    DenialResponse,
    ProtocolViolation,
    WebSocketGuardMiddleware,
)
from asgi_wsguard.rules.lifecycle import FinalMessages, Lifecycle, Policy
from asgi_wsguard.rules.states import OBLIGATIONS, OVER, EndReason
from asgi_wsguard.rules.states import State as Stage
from asgi_wsguard.testing import StrictServer
from asgi_wsguard.testing.spec import SpecChecker, State
from harness.apps import AppError
from harness.messages import MORE_MESSAGES, OFFERED
from harness.strategies import NAMES, SERVERS, leaves

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup


pytestmark = pytest.mark.usefixtures("quiet")

STEPS = st.one_of(
    st.tuples(st.just("send"), NAMES),
    st.tuples(st.just("send"), NAMES),
    st.tuples(st.just("make"), NAMES),
    st.tuples(st.just("await"), st.none()),
    st.tuples(st.just("receive"), st.none()),
    st.tuples(st.just("pause"), st.integers(1, 3)),
    st.tuples(st.just("raise"), st.none()),
)


@dataclass
class Task:
    steps: list[tuple[str, Any]]
    goes_on: bool  # after an exception from send() or receive()


TASKS = st.builds(Task, st.lists(STEPS, max_size=5), st.booleans())


@dataclass
class Plan:
    """A random app, its client, and who cancels it when."""

    first: Task  # before the others begin
    tasks: list[Task]
    late: list[Task]
    ending: str
    client: list[Any]  # pauses, and what the client sends; None is that it leaves
    cancel: int | None  # after so many turns
    native: bool  # by Task.cancel(), on asyncio
    again: bool  # cancelled twice


PLANS = st.builds(
    Plan,
    first=TASKS,
    tasks=st.lists(TASKS, max_size=3),
    late=st.lists(TASKS, max_size=2),
    ending=st.sampled_from(["return", "raise", "raise group", "wait"]),
    client=st.lists(st.one_of(st.integers(1, 4), st.text(max_size=2), st.binary(max_size=2), st.none()), max_size=4),
    cancel=st.none() | st.integers(1, 12),
    native=st.booleans(),
    again=st.booleans(),
)

OPTIONS = st.fixed_dictionaries(
    {"strict": st.booleans(), "without_extension": st.sampled_from(["close", "close", "raise"])}
)

# No app is still at work after so many turns: then it waits for what never comes, and is cancelled.
ENOUGH_TURNS = 60


async def turns(number: int) -> None:
    for _ in range(number):
        await anyio.lowlevel.checkpoint()


@dataclass
class Run:
    """One run of a plan, with all that was seen of it."""

    plan: Plan
    server: StrictServer
    options: dict[str, Any]
    reports: list[ConnectionReport] = field(default_factory=list)
    made: list[Any] = field(default_factory=list)  # coroutines that nobody awaited
    send_errors: list[BaseException] = field(default_factory=list)
    app_ended: bool = False
    guard_ended: bool = False
    cancelled: bool = False
    raised_by_app: BaseException | None = None
    raised_by_guard: BaseException | None = None
    late_silent: list[str] = field(default_factory=list)  # sends after the app ended that raised nothing

    async def go(self) -> None:
        native = self.plan.native and anyio.get_cancelled_exc_class() is asyncio.CancelledError
        self.scope = anyio.CancelScope()
        try:
            async with anyio.create_task_group() as self.outside:
                self.outside.start_soon(self.act_as_client)
                if native:
                    task = asyncio.get_running_loop().create_task(self.serve())
                    await self.cancel(task.cancel)
                    await asyncio.wait([task])
                else:
                    self.outside.start_soon(self.serve)
                    await self.cancel(self.scope.cancel)
                await turns(ENOUGH_TURNS)  # for the tasks that outlive the app
                self.outside.cancel_scope.cancel()
        finally:
            for coroutine in self.made:
                coroutine.close()

    async def act_as_client(self) -> None:
        for step in self.plan.client:
            if step is None:
                self.server.client_leaves(1001)
                return
            if isinstance(step, int):
                await turns(step)
            else:
                self.server.client_sends(step)

    async def cancel(self, cancel: Callable[[], Any]) -> None:
        for number in (self.plan.cancel, 1 if self.plan.again else None, 0):
            await turns(ENOUGH_TURNS if number is None else number)
            if not self.guard_ended:
                self.cancelled = True
                cancel()
        await turns(ENOUGH_TURNS)

    async def serve(self) -> None:
        with contextlib.suppress(Exception, asyncio.CancelledError), self.scope:
            try:
                await self.server.run(WebSocketGuardMiddleware(self.app, observers=[self.observe], **self.options))
            except BaseException as exc:
                self.raised_by_guard = exc
                raise
            finally:
                self.guard_ended = True

    async def observe(self, report: ConnectionReport) -> None:
        self.reports.append(report)

    # The app

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            for late in self.plan.late:
                self.outside.start_soon(self.act_late, late, receive, send)
            await self.act(self.plan.first, receive, send)
            async with anyio.create_task_group() as group:
                for task in self.plan.tasks:
                    group.start_soon(self.act, task, receive, send)
            await self.end()
        except BaseException as exc:
            self.raised_by_app = exc
            raise
        finally:
            self.app_ended = True

    async def end(self) -> None:
        if self.plan.ending == "raise":
            raise AppError("secret")
        if self.plan.ending == "raise group":
            raise ExceptionGroup("secret", [AppError("secret"), ClientDisconnected()])
        if self.plan.ending == "wait":
            await anyio.sleep_forever()

    async def act_late(self, task: Task, receive: Any, send: Any) -> None:
        with contextlib.suppress(Exception):  # no one sees them
            await self.act(task, receive, send)

    async def act(self, task: Task, receive: Any, send: Any) -> None:
        made: list[tuple[str, Any]] = []
        for kind, value in task.steps:
            if kind == "raise":
                raise AppError("secret")
            if kind == "pause":
                await turns(value)
            elif kind == "make":
                made.append((value, send(MORE_MESSAGES[value])))
                self.made.append(made[-1][1])
            try:
                if kind == "send":
                    await self.sending(value, send(MORE_MESSAGES[value]))
                elif kind == "await" and made:
                    await self.sending(*made.pop(0))
                elif kind == "receive":
                    await receive()
            except Exception:
                if not task.goes_on:
                    raise

    async def sending(self, name: str, coroutine: Any) -> None:
        late = self.guard_ended
        try:
            await coroutine
        except BaseException as exc:
            self.send_errors.append(exc)
            raise
        if late:
            self.late_silent.append(name)


@pytest.mark.anyio
@given(plan=PLANS, server=SERVERS, options=OPTIONS)
async def test_any_app(plan: Plan, server: dict[str, Any], options: dict[str, Any], anyio_backend: str) -> None:
    before = copy.deepcopy(MORE_MESSAGES)
    run = Run(plan, StrictServer("/ws", subprotocols=OFFERED, **server), options)
    await run.go()
    assert run.guard_ended

    # E6: a legal sequence, also after the app has ended (H13).
    assert run.server.violations == []
    # O5, O7: nothing once the client has left, but for the body of a denial whose start was on its way by then. A task
    # that the app left behind may be told while the guard is about to deny.
    after = run.server.sent_after_disconnect
    denying = all(message["type"].startswith("websocket.http.response") for message in after)
    assert not after or (len(after) == 1 and is_denial(run.server.sent[-2:])) or (denying and run.plan.late)
    assert all(name.startswith("close") for name in run.late_silent)
    assert before == MORE_MESSAGES

    check_client(run)
    check_exceptions(run)
    check_report(run)


def is_denial(messages: list[Any]) -> bool:
    return [message["type"].rpartition(".")[2] for message in messages] == ["start", "body"]


def check_client(run: Run) -> None:
    client = run.server.client
    if client.left or client.ended:
        return
    if run.raised_by_guard is not None:
        # The server's crash path: for a response that the app broke off (H8), ...
        cut = client.denial is not None
        # ... where the server refused the guard's own close (O11), and by option.
        refused = client.accepted and 1011 in run.server._refused_codes
        asked = not client.answered and run.options["without_extension"] == "raise"
        assert cut or refused or asked
    else:
        raise AssertionError("the client waits for ever")


def check_report(run: Run) -> None:
    """There is one, and it tells what the client has seen."""
    (report,) = run.reports
    client = run.server.client
    # A server may drop in silence an accept to a client that has left.
    assert client.accepted or report.open_for is None or client.left
    # An accept that is still in the server's send(), of a task that the app left behind, comes too late for the report.
    assert report.open_for is not None or not client.accepted or run.plan.late
    if report.status is not None:
        assert client.denial is None or report.status == client.denial.status
    if report.close_code is not None and report.closed_by != "client":
        assert client.close_code in (report.close_code, None)


def check_exceptions(run: Run) -> None:
    for exc in run.send_errors:
        refused = isinstance(exc, ValueError) and "this server does not send" in str(exc)
        assert refused or isinstance(exc, (ProtocolViolation, ClientDisconnected)) or not isinstance(exc, Exception)
    app, guard = run.raised_by_app, run.raised_by_guard
    if guard is app:
        return
    if app is None:
        crash = isinstance(guard, ProtocolViolation) and run.options["without_extension"] == "raise"
        refused = isinstance(guard, ValueError) and run.server._refused_codes
        assert crash or refused or (run.cancelled and not isinstance(guard, Exception)), repr(guard)
    elif guard is None or (run.cancelled and not isinstance(guard, Exception)):  # E2; what came meanwhile goes on
        assert all(isinstance(leaf, ClientDisconnected) for leaf in leaves(app)), repr(app)
    else:
        # The server refused the close that was owed to a cancelled app (O11).
        assert not any(isinstance(leaf, Exception) for leaf in leaves(app)), repr(app)
        assert isinstance(guard, ValueError)
        assert run.server._refused_codes


class Rules(RuleBasedStateMachine):
    """The state machine by itself: what it lets through is legal, whatever the server refuses meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.settled = self.body_sent = False

    @initialize(denial_extension=st.booleans(), strict=st.booleans(), crash=st.booleans())
    def begin(self, denial_extension: bool, strict: bool, crash: bool) -> None:
        self.spec = SpecChecker(subprotocols=OFFERED, denial_extension=denial_extension)
        self.crash = crash and not denial_extension
        self.lifecycle = Lifecycle(OFFERED, can_deny=denial_extension, policy=Policy(DenialResponse(), strict))

    @rule(name=NAMES, fails_at=st.none() | st.integers(0, 1), refused=st.booleans())
    def send(self, name: str, fails_at: int | None, refused: bool) -> None:
        before = self.lifecycle.state
        try:
            outgoing = self.lifecycle.sending(MORE_MESSAGES[name])
        except ProtocolViolation:
            assert self.lifecycle.state is before or (before in OVER and self.lifecycle.state is Stage.GONE)
            return
        if outgoing is None:
            assert before in OVER
            return
        after = self.lifecycle.state
        for number, message in enumerate(outgoing):
            if number != fails_at or not refused:
                self.spec.check(message)
                self.body_sent |= message["type"] == "websocket.http.response.body"
            if number == fails_at:
                self.lifecycle.failed(before, after, number, refused=refused)
                return
        assert not (outgoing and before in OVER)

    @rule()
    def leave(self) -> None:
        self.lifecycle.left()
        assert self.lifecycle.state in OVER

    def is_not_settled(self) -> bool:  # hypothesis 6.100 parses the source of a lambda at each step
        return not self.settled

    @precondition(is_not_settled)
    @rule(ending=st.sampled_from(EndReason))
    def settle(self, ending: EndReason) -> None:
        before = self.lifecycle.state
        gone = before in (Stage.GONE, Stage.LEFT)
        settlement = self.lifecycle.settle(ending, crash=self.crash)
        if (before, ending) not in OBLIGATIONS:
            assert settlement == FinalMessages()
            assert self.lifecycle.state is before or (before in OVER and self.lifecycle.state is Stage.GONE)
            return
        for message in settlement.messages:
            self.spec.check(message)
        self.settled = True
        if settlement.crash:
            assert self.crash
            assert self.spec.state is State.CONNECTING
        elif not gone and (ending is EndReason.RETURNED or not self.body_sent):
            assert self.spec.state is State.ENDED

    @invariant()
    def nothing_after_the_end(self) -> None:
        if self.settled:
            assert self.lifecycle.state in OVER
            assert self.lifecycle.settle(EndReason.RETURNED).messages == ()


TestRules = Rules.TestCase
TestRules.settings = settings(max_examples=settings.default.max_examples // 4, stateful_step_count=15)
