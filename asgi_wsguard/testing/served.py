"""An app that is served in memory: when it ends, what it does wrong, and where its tasks wait."""

from __future__ import annotations

from typing import Any, Callable

import anyio
import anyio.lowlevel

from asgi_wsguard import lines
from asgi_wsguard.report import Violation
from asgi_wsguard.runtime import runtime
from asgi_wsguard.testing import tasks
from asgi_wsguard.testing.failures import ContractBroken, add_note
from asgi_wsguard.testing.server import StrictServer
from asgi_wsguard.testing.spec import IllegalSequence

# What Starlette, FastAPI, Litestar and Falcon raise into an app whose client has left.
DISCONNECTS = frozenset({"WebSocketDisconnect", "WebSocketDisconnected"})


class ServedApp:
    """The app's side of a `WebSocketSession`.

    Attributes:
        left: the code and reason of a close that is not the app's.
        ended: whether the app has ended.
        raised: what came out of it.
        violations: what it has done wrong, each once.
    """

    def __init__(self, app: Any, server: StrictServer, timeout: float | None) -> None:
        self.left: tuple[int, str] | None = None
        self.ended = False
        self.raised: BaseException | None = None
        self.violations: list[Violation] = []
        self._app = app
        self._server = server
        self._client = server.client
        self._timeout = timeout
        self._refusals: list[OSError] = []  # raised into the app
        self._task = 0  # the id of the task that the app was called in

    @property
    def over(self) -> bool:
        """Whether the connection is over."""
        return self.left is not None or self._client.ended

    @property
    def answered(self) -> bool:
        """Whether the handshake has all of its answer."""
        return self._client.accepted or self._client.ended or (self._client.denial is not None and self.ended)

    def start(self) -> None:
        """Call the app."""
        self._change = anyio.Event()
        self._runtime = runtime()
        self._job = self._runtime.start(self._run, lambda: None)

    async def _run(self) -> None:
        self._task = anyio.get_current_task().id
        try:
            with tasks.claimed(self):
                await self._server.run(self._call)
            self._judge_return()
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:
            if not (self.over and self._says_that_it_is_over(exc)):
                self.raised = exc
        finally:
            if not self.over:
                self.left = (1006, "the app ended and did not close it")
            self.ended = True
            self._changed()

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, self._send)

    async def _send(self, message: Any) -> None:
        """Take a message of the app's."""
        try:
            await self._server.send(message)
        except IllegalSequence as violation:
            self.found(violation.clause, str(violation), lines.of_caller())
            raise
        except OSError as refusal:
            self._refusals.append(refusal)
            raise
        finally:
            self._changed()

    def _judge_return(self) -> None:
        if self.over:
            return
        where = lines.of_app(self._server.scope, self._app)
        if self._client.accepted:
            self.found("O1", "the app returned without closing the websocket", where)
        elif self._client.denial is not None:
            self.found("H8", "the app returned inside the body of its denial response", where)
        else:
            self.found("H1", "the app returned without answering the handshake", where)

    def _says_that_it_is_over(self, exc: BaseException) -> bool:
        group = getattr(exc, "exceptions", None)
        if isinstance(group, tuple):
            return all(map(self._says_that_it_is_over, group))
        return exc in self._refusals or not DISCONNECTS.isdisjoint(kind.__name__ for kind in type(exc).__mro__)

    def leave(self, code: int, reason: str = "") -> None:
        """Let the client leave, unless the connection is over."""
        if not self.over:
            self.left = (code, reason)
            self._server.client_leaves(code, reason)
            self._changed()

    async def until(self, done: Callable[[], bool]) -> bool:
        """Wait until it is done; tell whether it was in time."""
        with anyio.move_on_after(self._timeout):
            await anyio.lowlevel.checkpoint()
            while not done():
                await self._change.wait()
        return done()

    def _changed(self) -> None:
        """Wake who waits for the app."""
        self._change.set()
        self._change = anyio.Event()

    async def clean_up(self) -> None:
        """Cancel what still runs, and find what was left behind."""
        with anyio.CancelScope(shield=True):
            for _ in range(tasks.TURNS):
                if self.ended:
                    break
                await anyio.lowlevel.checkpoint()
            self._job.cancel()
            with anyio.move_on_after(self._timeout):
                await self._runtime.finished(self._job)
            left = await tasks.left_behind(self)
            for task in left:
                self.found("", f"{self._name(task)} was left behind; it waits", task.where(anyone=True))
            if left:
                tasks.cancel(left)
                await tasks.left_behind(self)

    def found(self, clause: str, what: str, where: str = "") -> None:
        """Keep a violation, once."""
        violation = Violation(clause, what, where)
        if violation not in self.violations:
            self.violations.append(violation)

    def failure(self, *, strict: bool) -> BaseException | None:
        """Return what is wrong, as an exception."""
        broken = ContractBroken(self.violations) if self.violations and strict else None
        if self.raised is None or broken is None:
            return self.raised or broken
        if isinstance(self.raised, IllegalSequence):
            broken.__cause__ = self.raised
            return broken
        add_note(self.raised, broken)
        return self.raised

    def doing(self) -> str:
        """Say where the app's tasks wait."""
        running = tasks.owned(self)
        running = [task for task in running if task.where()] or running
        return ", ".join(f"{self._name(task)} waits at {task.where(anyone=True)}" for task in running)

    def _name(self, task: tasks.AppTask) -> str:
        return "the app" if id(task.task) == self._task else f"the app's task {task.name}"
