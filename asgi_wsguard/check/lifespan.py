"""The app's lifespan around its websockets, as servers run it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio

from asgi_wsguard.report import Violation, lines
from asgi_wsguard.testing.failures import in_a_line

PATIENCE = 30.0
"""Seconds for the startup, and for the shutdown. Servers set no limit, and loading a model takes its time."""
ANSWERS = tuple(f"lifespan.{phase}.{result}" for phase in ("startup", "shutdown") for result in ("complete", "failed"))


class Lifespan:
    """The lifespan of one app.

    Attributes:
        state: the state that the app fills, which is in the scope of each websocket.
        violations: the app's faults. To raise before answering the startup is not a fault: it means that the app does
            not support lifespan, and servers then serve it without (ASGI specification, "Lifespan Protocol").
        unsupported: what the app raised in that case, after it had received a message.
    """

    def __init__(self, app: Any) -> None:
        self.state: dict[str, Any] = {}
        self.violations: list[Violation] = []
        self.unsupported = ""
        self._app = app
        self._coroutine: Any = None
        self._asked = False
        self._answers: dict[str, Any] = {}
        self._raised: BaseException | None = None
        self._ended = False
        self._change = anyio.Event()
        self._shutdown = anyio.Event()

    async def run(self) -> None:
        """Call the app."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            self._coroutine = self._app(scope, self._receive, self._send)
            await self._coroutine
        except anyio.get_cancelled_exc_class():
            raise
        except BaseException as exc:
            if self._answers:
                self._raised = exc
            elif self._asked and "lifespan" not in str(exc):  # Django and Channels say that they do not support it
                where = lines.of_exception(exc)
                told = f"the app raised {in_a_line(exc)} on the lifespan scope"
                self.unsupported = " ".join(told.split()) + (f" ({where})" if where else "")
        finally:
            self._ended = True
            self._change.set()

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._shutdown.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: Any) -> None:
        if message["type"] not in ANSWERS:
            raise RuntimeError(f"expected an answer to the lifespan, but got {message['type']}")  # as servers do
        self._answers[message["type"]] = message
        self._change.set()

    async def startup(self) -> None:
        """Wait for the end of the startup."""
        await self._judge("startup")

    async def shutdown(self) -> None:
        """Request the shutdown, and wait for its end."""
        self._change = anyio.Event()
        self._shutdown.set()
        await self._judge("shutdown")

    async def _judge(self, phase: str) -> None:
        with anyio.move_on_after(PATIENCE):
            if not self._ended:
                await self._change.wait()
        failed = self._answers.get(f"lifespan.{phase}.failed")
        if self._raised is not None:
            what, where = f"raised {in_a_line(self._raised)} in its {phase}", lines.of_exception(self._raised)
        elif failed is not None:
            what, where = f"says that its {phase} failed: {failed.get('message', '')}", ""
        elif not (self._ended or self._change.is_set()):
            what, where = f"had not ended its {phase} after {PATIENCE:g} s", lines.of_waiting(self._coroutine)
        else:
            return
        self.violations.append(Violation("", f"the app {' '.join(what.split())}", where))


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[Lifespan]:
    """Start the app up, and shut it down at the end. If the startup fails, the violation is there at once."""
    running = Lifespan(app)
    async with anyio.create_task_group() as group:
        group.start_soon(running.run)
        await running.startup()
        failed = bool(running.violations)
        yield running
        if not failed:
            await running.shutdown()
        group.cancel_scope.cancel()
