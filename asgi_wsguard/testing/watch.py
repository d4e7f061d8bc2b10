"""A watch for faults of websocket apps in a test, whatever client it uses."""

from __future__ import annotations

import gc
import logging
from typing import Any

import anyio

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.drain.signals import WILL_NOT_DRAIN
from asgi_wsguard.testing import tasks

DESTROYED = "Task was destroyed but it is pending!"


class Watch(logging.Handler):
    """Collects a line for each fault in this process, while it is switched on.

    A fault is what the guard logs as a warning or an error, a task that an app behind a guard left behind, or a task
    that asyncio destroyed while it was pending. A server that gets no signal, because the test runs it in a thread, is
    not the app's fault (D5).
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._loggers = [logging.getLogger(name) for name in ("asgi_wsguard", "asyncio")]
        self._before: list[tuple[bool, int]] = []
        self._guard: Any = None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line (called by the logger, from any thread)."""
        if record.msg == WILL_NOT_DRAIN:
            return
        line = record.getMessage()
        if record.name == "asgi_wsguard" or line.startswith(DESTROYED):
            self.lines.append(line)

    def begin(self) -> None:
        """Switch on, even if the project's logging is configured to be silent."""
        gc.collect()  # garbage of earlier tests does not count
        for logger in self._loggers:
            self._before.append((logger.disabled, logger.level))
            logger.disabled = False
            if not logger.isEnabledFor(logging.WARNING):
                logger.setLevel(logging.WARNING)
            logger.addHandler(self)
        self._guard = guard = WebSocketGuardMiddleware.__call__

        async def watched(middleware: Any, scope: Any, receive: Any, send: Any) -> None:
            owner = object()
            try:
                with tasks.claimed(owner):
                    await guard(middleware, scope, receive, send)
            except GeneratorExit:  # the coroutine is being discarded, so it must not await
                raise
            except BaseException:
                await self._look_behind(owner, scope)
                raise
            await self._look_behind(owner, scope)

        WebSocketGuardMiddleware.__call__ = watched  # type: ignore[assignment,method-assign]

    def end(self) -> None:
        """Switch off."""
        WebSocketGuardMiddleware.__call__ = self._guard  # type: ignore[method-assign]
        for logger, (disabled, level) in zip(self._loggers, self._before):
            logger.removeHandler(self)
            logger.disabled = disabled
            logger.setLevel(level)

    async def _look_behind(self, owner: object, scope: Any) -> None:
        """Find the tasks that an app left behind."""
        if scope["type"] == "websocket":
            with anyio.CancelScope(shield=True):
                left = await tasks.left_behind(owner)
            for task in left:
                where = task.where(anyone=True)
                self.lines.append(f"{scope['path']!r}: the app left the task {task.name} behind; it waits ({where})")

    def take(self) -> str:
        """Return the lines up to now, and forget them."""
        gc.collect()  # a pending task without references is destroyed here, and asyncio logs that
        lines, self.lines = self.lines, []
        return "\n".join(lines)
