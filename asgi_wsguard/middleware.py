"""The middleware: its options, checked once, and one `Connection` for each websocket scope."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from asgiref.compatibility import guarantee_single_callable

from .arguments import check_type, check_whole, timeout
from .connection import App, Connection
from .connection.receiving import Receive
from .connection.sending import Send
from .deadlines import Limits
from .denial import DenialResponse
from .drain import Drainer
from .observers import Observer, Observers
from .states import Ending


class _Guarded:
    """The scope that a guard is busy with. A task that the app starts keeps this, but not the scope."""

    __slots__ = ("inner", "scope")

    def __init__(self, scope: MutableMapping[str, Any]) -> None:
        self.scope: MutableMapping[str, Any] | None = scope
        self.inner = False  # whether there was another guard


# What a guard around this one is busy with: a second guard leaves it to the first (E8). Not a key in the scope, as that
# is the app's to look at.
_guarded: ContextVar[_Guarded | None] = ContextVar("asgi_wsguard", default=None)


@dataclass(frozen=True)
class Options:
    """The options of the middleware, checked when it is made."""

    strict: bool = False
    denial: DenialResponse = field(default_factory=DenialResponse)
    without_extension: str = "close"
    handshake_timeout: float | None = 20.0
    exit_timeout: float | None = 10.0
    close_timeout: float | None = 5.0
    idle_timeout: float | None = None
    max_lifetime: float | None = None
    send_timeout: float | None = None
    max_connections: int | None = None
    observers: Observers = field(default_factory=Observers)
    drainer: Drainer | None = None
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        check_type("strict", self.strict, bool)
        check_type("denial", self.denial, DenialResponse)
        check_type("without_extension", self.without_extension, str)
        if self.without_extension not in ("close", "raise"):
            raise ValueError(f"without_extension must be 'close' or 'raise', not {self.without_extension!r}")
        limits = {name: timeout(name, getattr(self, name)) for name in Limits._fields}
        object.__setattr__(self, "limits", Limits(**limits))
        if self.max_connections is not None:
            check_whole("max_connections", self.max_connections, 1)
        if self.drainer is not None:
            check_type("drainer", self.drainer, Drainer)


@contextmanager
def aside(scope: MutableMapping[str, Any]) -> Iterator[_Guarded]:
    """Let each guard in the app's stack do nothing for this scope, as if the caller were a guard around it (E8)."""
    outer, guarded = _guarded.get(), _Guarded(scope)
    _guarded.set(guarded)
    try:
        yield guarded
    finally:
        guarded.scope = None
        _guarded.set(outer)


class WebSocketGuardMiddleware:
    """Guard the life of every websocket of an ASGI app.

    Every handshake gets an answer and every open websocket is closed, the same on every server, however the app ends.
    Scopes of any other type are handed on untouched. Where two guards are around one app, the outer one does it all.

    Args:
        app: an ASGI 3 app; an older double-callable one (ASGI 2) works as well.
        strict: refuse, with `ProtocolViolation`, what the guard otherwise repairs with a warning. For development and
            test suites. Default `False`.
        denial: the response when the app returns or raises before it answered. Default 500, ``text/plain``.
        without_extension: what a denial is on a server without the ``websocket.http.response`` extension. ``"close"``
            (the default) sends ``websocket.close``, which every server turns into 403. ``"raise"`` leaves it to the
            server's own crash path: 500 on gunicorn's ASGI worker and on daphne.
        handshake_timeout: seconds that the app has to answer the handshake. Then the client is told 503, whatever the
            app does, and the app is cancelled. Default 20.
        exit_timeout: seconds that the app may go on after the connection is over. Then it is cancelled, and again as
            often as it goes on for that long. Default 10.
        close_timeout: seconds that the guard waits for the server to take what the guard itself sends, and, after
            the end, for the server to tell the app that it is over. Default 5.
        idle_timeout: seconds without a message, either way, after which the connection is closed with 1001; it may
            take an eighth longer. Default `None`.
        max_lifetime: seconds after accept when the connection is closed with 1001. Default `None`.
        send_timeout: seconds that one `send()` may take, as when the client does not read, before the connection is
            closed with 1008; it may take an eighth longer. Default `None`.
        max_connections: how many websockets this middleware lets in at once. The next is told 503, and the app is
            not called. Default `None`.
        observers: callables that are given the `ConnectionReport` of each connection at its end. A plain function is
            called in a worker thread, a coroutine function is awaited; each has `close_timeout` for it. Default none.
        drainer: a `Drainer`, which closes what is open when the server is to stop. Default `None`.

    A timeout of `None` never comes.

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
        without_extension: str = "close",
        handshake_timeout: float | None = 20.0,
        exit_timeout: float | None = 10.0,
        close_timeout: float | None = 5.0,
        idle_timeout: float | None = None,
        max_lifetime: float | None = None,
        send_timeout: float | None = None,
        max_connections: int | None = None,
        observers: Iterable[Observer] = (),
        drainer: Drainer | None = None,
    ) -> None:
        if not callable(app):
            raise TypeError(f"app must be an ASGI app, not {app!r}")
        self.app: App = _single_callable(app)
        self._options = Options(
            strict=strict,
            denial=DenialResponse() if denial is None else denial,
            without_extension=without_extension,
            handshake_timeout=handshake_timeout,
            exit_timeout=exit_timeout,
            close_timeout=close_timeout,
            idle_timeout=idle_timeout,
            max_lifetime=max_lifetime,
            send_timeout=send_timeout,
            max_connections=max_connections,
            observers=Observers(observers),
            drainer=drainer,
        )
        self._connections = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Run the app. Servers pass these by position or by name."""
        drainer = self._options.drainer
        if scope["type"] != "websocket":
            try:
                return await self.app(scope, receive, send)
            finally:
                if drainer is not None and scope["type"] == "lifespan":
                    drainer.served()
        outer = _guarded.get()
        if outer is not None and outer.scope is not None and _is_same_connection(scope, outer.scope):
            outer.inner = True
            return await self.app(scope, receive, send)
        connection = Connection(self.app, scope, receive, send, self._options)
        if drainer is not None and drainer.draining:
            return await connection.refused(Ending.DRAINED, drainer.refusal)
        if self._connections == self._options.max_connections:
            return await connection.refused(Ending.MAX_CONNECTIONS)
        guarded = _Guarded(scope)
        _guarded.set(guarded)
        self._connections += 1
        try:
            if drainer is not None:
                drainer.add(connection)  # it may fail where there are no file descriptors left
            with connection.runtime:
                await self.app(scope, connection.receive, connection.send)
        except GeneratorExit:
            connection.abandoned()
            raise
        except BaseException as exc:
            if await connection.failed(exc):
                raise
        else:
            await connection.returned()
        finally:
            self._connections -= 1
            if drainer is not None:
                drainer.remove(connection)
            guarded.scope = None
            # No reset(): a coroutine that is thrown away may be closed in another context.
            _guarded.set(outer)


def _is_same_connection(scope: MutableMapping[str, Any], outer: MutableMapping[str, Any]) -> bool:
    # What stands between two guards may copy the scope, but it hands on what is in it.
    return scope is outer or ("headers" in scope and scope["headers"] is outer.get("headers"))


def _single_callable(app: Any) -> App:
    try:
        inspect.signature(app).bind(None, None, None)
    except (TypeError, ValueError):
        single: App = guarantee_single_callable(app)  # type: ignore[no-untyped-call]
        return single
    # It takes scope, receive and send. asgiref would take it for ASGI 2 if it were a plain function that returns an
    # awaitable, or a class with __await__.
    return app  # type: ignore[no-any-return]
