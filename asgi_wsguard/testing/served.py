"""A running app: its end, its faults, and the lines where its tasks wait."""

from __future__ import annotations

from collections.abc import Awaitable
from functools import partial
from typing import Any, Callable

import anyio
import anyio.lowlevel

from asgi_wsguard.report import Violation, lines
from asgi_wsguard.rules.messages import CLOSE
from asgi_wsguard.runtime import Runtime, runtime
from asgi_wsguard.testing import tasks
from asgi_wsguard.testing.failures import ContractBroken, add_note, in_a_line
from asgi_wsguard.testing.server import StrictServer
from asgi_wsguard.testing.spec import IllegalSequence

# The exceptions of Starlette, FastAPI, Litestar and Falcon in an app whose client has left.
DISCONNECTS = frozenset({"WebSocketDisconnect", "WebSocketDisconnected"})
# An app that has ignored this many disconnects would receive forever (O8).
SPINNING = 100


class ServedApp:
    """The app's side of a websocket.

    Attributes:
        left: the code and reason of an end that is not the app's own close.
        ended: whether the app has ended.
        raised: the app's exception.
        crash: the exception as a violation; `None` if it is already among the violations.
        violations: the app's faults, each once.
    """

    def __init__(self, app: Any, server: StrictServer, timeout: float | None) -> None:
        self.left: tuple[int, str] | None = None
        self.ended = False
        self.raised: BaseException | None = None
        self.crash: Violation | None = None
        self.violations: list[Violation] = []
        self._app = app
        self._server = server
        self._client = server.client
        self._timeout = timeout
        self._refusals: list[Exception] = []  # raised into the app by the server
        self._waiting = 0  # calls of receive and send that have not returned
        self._received = 0  # messages of the client
        self._disconnects = 0
        self._task = 0  # the id of the task that the app was called in

    @property
    def over(self) -> bool:
        """Whether the connection is over."""
        return self.left is not None or self._client.ended

    @property
    def answered(self) -> bool:
        """Whether the handshake is completely answered."""
        return self._client.accepted or self._client.ended or (self._client.denial is not None and self.ended)

    def start(self) -> None:
        """Call the app, in a task of its own."""
        beside = self._begin()
        job = beside.start(self._run, lambda: None)
        self._cancel: Callable[[], object] = job.cancel
        self._finished: Callable[[], Awaitable[object]] = partial(beside.finished, job)

    async def run(self) -> None:
        """Call the app in this task, as a server does, and raise its exception."""
        around = self._begin()
        self._cancel = around.cancel
        self._finished = partial(self.until, lambda: self.ended)
        around.enter()
        try:
            await self._run()
        except BaseException as exc:
            if around.leave(exc) is not None:
                raise  # cancelled by the server, not by this object
        else:
            around.leave(None)
        if self.raised is not None:
            raise self.raised

    def _begin(self) -> Runtime:
        self._change = anyio.Event()
        return runtime()

    async def _run(self) -> None:
        self._task = anyio.get_current_task().id
        try:
            with tasks.claimed(self):
                await self._server.run(self._call)
            self._judge_return()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:
            # An exception that passed no line of the user's code is how a framework ends, such as Quart.
            frameworks = self.over and not lines.of_exception(exc)
            if not (frameworks or self._says_that_it_is_over(exc)):
                self.raised = exc
                self._judge_raise(exc)
        finally:
            if not self.over:
                self.left = (1006, "the app ended and did not close it")
            self.ended = True
            self._changed()

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, self._receive, self._send)

    async def _receive(self) -> Any:
        """Return the app's next message."""
        message = await self._waited_for(self._server.receive())
        if message["type"] == "websocket.receive":
            self._received += 1
        elif message["type"] == "websocket.disconnect":
            if not self.over:
                self.left = (message.get("code", 1005), message.get("reason") or "")
            await self._disconnected()
        return message

    async def _disconnected(self) -> None:
        """Let other tasks run, and stop an app that does nothing but receive."""
        self._disconnects += 1
        await anyio.lowlevel.checkpoint()
        if self._disconnects > SPINNING:
            self.found("O8", f"the app kept receiving after {SPINNING} disconnects", lines.of_caller())
            self._refusals.append(OSError("the connection is over, and receive() has reported that"))
            raise self._refusals[-1]

    async def _send(self, message: Any) -> None:
        """Take a message from the app."""
        if self.over and isinstance(message, dict) and message.get("type") == CLOSE:
            return  # a close in a `finally`, often the framework's own, is a no-op (O5)
        try:
            await self._waited_for(self._server.send(message))
        except IllegalSequence:
            raise
        except Exception as refusal:
            self._refusals.append(refusal)
            if isinstance(refusal, OSError) and not self.over:
                self.left = (1006, "")
            raise
        finally:
            for violation in self._server.violations:
                self.found(violation.clause, str(violation), violation.where)
            self._changed()

    async def _waited_for(self, call: Awaitable[Any]) -> Any:
        self._waiting += 1
        self._changed()
        try:
            return await call
        finally:
            self._waiting -= 1

    def _judge_return(self) -> None:
        if self.over or self._client.accepted:  # most apps end by returning, and the client gets 1000 (O1)
            return
        where = lines.of_app(self._server.scope, self._app)
        if self._client.denial is not None:
            self.found("H8", "the app returned inside the body of its denial response", where)
        else:
            self.found("H1", "the app returned without answering the handshake", where)

    def _judge_raise(self, exc: BaseException) -> None:
        if isinstance(exc, IllegalSequence):
            return
        if self._client.ended or self._disconnects or self._refusals:  # and the app could know
            clause, when = "E3", "after the connection was over"
        elif self._client.accepted:
            clause, when = "O2", "on an open websocket"
        elif self._client.denial is not None:
            clause, when = "H8", "inside the body of its denial response"
        else:
            clause, when = "H2", "before it answered the handshake"
        self.crash = Violation(clause, f"the app raised {in_a_line(exc)} {when}", lines.of_exception(exc))

    def _says_that_it_is_over(self, exc: BaseException) -> bool:
        group = getattr(exc, "exceptions", None)
        if isinstance(group, tuple):
            return all(map(self._says_that_it_is_over, group))
        if exc in self._refusals:
            return True
        return self.over and not DISCONNECTS.isdisjoint(kind.__name__ for kind in type(exc).__mro__)

    def leave(self, code: int, reason: str = "") -> None:
        """Let the client leave, unless the connection is over."""
        if not self.over:
            self.left = (code, reason)
            self._server.client_leaves(code, reason)
            self._changed()

    async def until(self, done: Callable[[], bool]) -> bool:
        """Wait until the condition holds; return whether that was in time."""
        with anyio.move_on_after(self._timeout):
            await anyio.lowlevel.checkpoint()
            while not done():
                await self._change.wait()
        return done()

    async def answer(self) -> Violation | None:
        """Await the answer to the handshake, or the app's end; return what is wrong if neither comes in time."""
        if await self.until(lambda: self.answered or self.ended):
            return None
        return Violation(
            "H4",
            f"the app had not answered the handshake after {self._timeout} s;"
            f" expected an accept, a close or a denial; {self.doing()}",
        )

    async def rest(self, said: int) -> None:
        """Wait until the app has received this many messages, and waits for its client in `receive()` or `send()`."""

        def rests() -> bool:
            # Before the first message, any message from the app is enough.
            pushes = not said and len(self._server.sent) > 1
            return self.over or self.ended or (self._received >= said and (self._waiting > 0 or pushes))

        await self.until(rests)

    async def end(self) -> None:
        """Wait until the app has ended, now that the connection is over."""
        if not await self.until(lambda: self.ended):
            what = f"the app kept running for {self._timeout} s after the connection was over; {self.doing()}"
            self.found("O12", f"{what}; it was cancelled")

    def _changed(self) -> None:
        """Wake the tasks that wait for the app."""
        self._change.set()
        self._change = anyio.Event()

    async def clean_up(self) -> None:
        """Cancel running tasks, and report those that were left behind."""
        with anyio.CancelScope(shield=True):
            for _ in range(tasks.TURNS):
                if self.ended:
                    break
                await anyio.lowlevel.checkpoint()
            if not self.ended:
                self._cancel()
            with anyio.move_on_after(self._timeout):
                await self._finished()
            left = await tasks.left_behind(self)
            for task in left:
                if not task.is_a_packages:
                    self.found("", f"{self._name(task)} was left behind; it waits", task.where(anyone=True))
            if left:
                tasks.cancel(left)
                await tasks.left_behind(self)

    def found(self, clause: str, what: str, where: str = "") -> None:
        """Add a violation, once."""
        violation = Violation(clause, what, where)
        if violation not in self.violations:
            self.violations.append(violation)

    def failure(self, *, strict: bool) -> BaseException | None:
        """Return the faults as an exception."""
        broken = ContractBroken(self.violations) if self.violations and strict else None
        if self.raised is None or broken is None:
            return self.raised or broken
        if isinstance(self.raised, IllegalSequence):
            broken.__cause__ = self.raised
            return broken
        add_note(self.raised, broken)
        return self.raised

    def doing(self) -> str:
        """Return a text that says where the app's tasks wait."""
        running = tasks.owned(self)
        own = [task for task in running if id(task.task) == self._task]
        telling = [task for task in running if task.where()] or own or running
        return ", ".join(f"{self._name(task)} waits at {task.where(anyone=True)}" for task in telling)

    def _name(self, task: tasks.AppTask) -> str:
        return "the app" if id(task.task) == self._task else f"the app's task {task.name}"
