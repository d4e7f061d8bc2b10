"""The middleware: one `Connection` for each websocket scope."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, MutableMapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from .nesting import is_guarded
from .rules.denial import DenialResponse

if TYPE_CHECKING:
    from .connection import App, Receive, Send
    from .drain import Drainer
    from .observers import Observer


class WebSocketGuardMiddleware:
    """Guard the life of every websocket of an ASGI app.

    Every handshake gets an answer and every open websocket is closed, the same on every server, however the app ends.
    Scopes of any other type are passed through untouched. If two guards are around one app, the outermost one's options
    take effect.

    Args:
        app: an ASGI 3 app; an older double-callable one (ASGI 2) works as well.
        strict: refuse, with `ProtocolViolation`, what the guard otherwise repairs with a warning. For development and
            test suites. Default `False`.
        denial: the response when the app returns or raises before it answered. Default 500, ``text/plain``.
        without_extension: how to reject the handshake when the server lacks the ``websocket.http.response`` extension.
            ``"close"`` sends ``websocket.close``, which every server turns into 403. ``"raise"`` leaves it to the
            server's own crash path. ``"auto"`` (the default) leaves an app's exception to the server where that is
            known to answer 500 (daphne, gunicorn's ASGI worker), and sends ``websocket.close`` anywhere else.
        send_after_end: what a `send()` does once the connection is over. ``"raise"`` raises `ClientDisconnected`,
            ``"drop"`` discards the message. ``"spec"`` (the default) does what the server's ASGI version promises: it
            raises from 2.4 on (uvicorn, gunicorn), and discards before (daphne, granian, hypercorn). With `strict` it
            raises.
        handshake_timeout: seconds that the app has to answer the handshake. Then the client gets 503, whatever the app
            does, and the app is cancelled. Default 30.
        exit_timeout: seconds after the end of the connection when an app is cancelled that does not know of the end,
            because it neither receives nor sends, or that knows and keeps using the connection. Default 60.
        cleanup_timeout: seconds that an app may run after it was told that the connection is over. Default `None`: it
            may clean up for as long as it needs.
        close_timeout: seconds that the guard waits for the server to take a message of the guard's own, and, after the
            end, for the server to tell the app that the connection is over. Default 5.
        idle_timeout: seconds without a message in either direction after which the connection is closed with 1001. It
            may fire up to 12.5 % late. Default `None`.
        max_lifetime: seconds after accept when the connection is closed with 1001. Default `None`.
        send_timeout: seconds that one `send()` may take, for example because the client does not read, before the
            connection is closed with 1008. It may fire up to 12.5 % late. Default `None`.
        max_connections: how many websockets this middleware admits at once. The next client gets 503, and the app is
            not called. Default `None`.
        observers: callables that receive the `ConnectionReport` of each connection at its end, in the event loop. An
            async one is awaited, for at most `close_timeout`. A plain function must not block. Default none.
        drainer: a `Drainer`, for a graceful shutdown. Default `None`.

    `None` disables a timeout.

    Raises:
        TypeError: an option has the wrong type.
        ValueError: an option has a value that it cannot have.
    """

    def __init__(
        self,
        app: Any,
        *,
        strict: bool = False,
        denial: DenialResponse | None = None,
        without_extension: Literal["auto", "close", "raise"] = "auto",
        send_after_end: Literal["spec", "raise", "drop"] = "spec",
        handshake_timeout: float | None = 30.0,
        exit_timeout: float | None = 60.0,
        cleanup_timeout: float | None = None,
        close_timeout: float | None = 5.0,
        idle_timeout: float | None = None,
        max_lifetime: float | None = None,
        send_timeout: float | None = None,
        max_connections: int | None = None,
        observers: Iterable[Observer] = (),
        drainer: Drainer | None = None,
    ) -> None:
        # What serves a websocket is loaded with the first guard, so that `import asgi_wsguard` costs little.
        from .connection import Connection
        from .observers import Observers
        from .options import Options

        if not callable(app):
            raise TypeError(f"app must be an ASGI app, not {app!r}")
        self.app: App = _single_callable(app)
        self._options = Options(
            app=self.app,
            strict=strict,
            denial=DenialResponse() if denial is None else denial,
            without_extension=without_extension,
            send_after_end=send_after_end,
            handshake_timeout=handshake_timeout,
            exit_timeout=exit_timeout,
            cleanup_timeout=cleanup_timeout,
            close_timeout=close_timeout,
            idle_timeout=idle_timeout,
            max_lifetime=max_lifetime,
            send_timeout=send_timeout,
            max_connections=max_connections,
            observers=Observers(observers),
            drainer=drainer,
        )
        # Bound here, and the exception in `__call__` without a name: that keeps the coroutine of a connection small.
        self._connection = partial(Connection, self._options)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Run the app. Servers pass these by position or by name."""
        if scope["type"] != "websocket" or is_guarded(scope):
            return await (self._serve_lifespan if scope["type"] == "lifespan" else self.app)(scope, receive, send)
        connection = self._connection(scope, receive, send)
        try:
            await self.app(scope, *connection.enter())
        except BaseException:
            if not await connection.finish(sys.exc_info()[1]):
                raise
        else:
            await connection.finish(None)

    async def _serve_lifespan(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            await self.app(scope, receive, send)
        finally:
            if self._options.drainer is not None:
                self._options.drainer.served()


def _single_callable(app: Any) -> App:
    try:
        inspect.signature(app).bind(None, None, None)
    except (TypeError, ValueError):
        from asgiref.compatibility import guarantee_single_callable

        single: App = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
        return single
    # It takes scope, receive and send. asgiref would take it for ASGI 2 if it were a plain function that returns an
    # awaitable, or a class with __await__.
    return app  # type: ignore[no-any-return]
