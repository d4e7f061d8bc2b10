"""One in-memory websocket to one app: the test's client, and a strict server between the two."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import quote, unquote

import anyio.lowlevel

from asgi_wsguard.report import Violation
from asgi_wsguard.testing.failures import ContractBroken, WebSocketClosed, add_note
from asgi_wsguard.testing.served import ServedApp
from asgi_wsguard.testing.server import Denial, Headers, StrictServer

# Headers that a client adds itself.
HANDSHAKE = {
    b"host": b"testserver",
    b"connection": b"upgrade",
    b"upgrade": b"websocket",
    b"sec-websocket-version": b"13",
    b"sec-websocket-key": b"dGhlIHNhbXBsZSBub25jZQ==",  # the example of RFC 6455
}
URL = "%/:@!$&'()*+,;=?"  # characters that are not escaped in a path and in a query

AnyHeaders = Iterable[tuple[Any, Any]]


class WebSocketSession:
    """A websocket between a test and an app, on asyncio and on trio, as an async context manager.

    It begins when the handshake is answered, even if by a denial. At its end the client closes with 1000, unless the
    connection is over, and the app must end. A test that fails for another reason keeps its exception, and faults of
    the app are in the exception's notes.

    Args:
        app: the app, with or without a guard around it.
        path: the path, and optionally a query after ``?``.
        subprotocols: what the client offers.
        headers: a mapping or pairs, of text or bytes. Those that a handshake needs are added.
        timeout: seconds that the app has to answer, to send, and to end; `None` for no limit. Default 5.
        denial_extension: whether the server can send a denial response (``websocket.http.response``). Default `True`.
        strict: raise `ContractBroken` at the end. Default `True`.

    Attributes:
        scope: the scope; it may be changed before the session begins.
        violations: the app's violations so far, each once.

    Raises:
        Exception: the app's exception, as the server would get it: at the end, unless it only says that the client has
            left; at the beginning, if the app raised before it answered.
        ContractBroken: at the end, if the app broke the ASGI specification or left a task behind. At the beginning, if
            it ended without an answer.
        TimeoutError: at the beginning, if there is no answer in time.
    """

    def __init__(
        self,
        app: Any,
        path: str = "/",
        *,
        subprotocols: Iterable[str] = (),
        headers: Mapping[str, str] | AnyHeaders = (),
        timeout: float | None = 5.0,
        denial_extension: bool = True,
        strict: bool = True,
    ) -> None:
        self._server = asked(path, subprotocols=subprotocols, headers=headers, denial_extension=denial_extension)
        self.scope = self._server.scope
        self._client = self._server.client
        self._app = ServedApp(app, self._server, timeout)
        self.violations = self._app.violations
        self._timeout = timeout
        self._strict = strict
        self._reads = True

    # The client's view

    @property
    def accepted(self) -> bool:
        """Whether the app has accepted the handshake."""
        return self._client.accepted

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the app has chosen."""
        return self._client.subprotocol

    @property
    def headers(self) -> Headers:
        """The headers of the app's accept."""
        return self._client.headers

    @property
    def denial(self) -> Denial | None:
        """The response that denied the handshake, with its status, headers and body; `None` if it was not denied."""
        return self._client.denial

    @property
    def close_code(self) -> int | None:
        """The close code, from whichever side closed; 1006 without a close frame, `None` while open."""
        return self._app.left[0] if self._app.left else self._client.close_code

    @property
    def close_reason(self) -> str:
        """The close reason."""
        return self._app.left[1] if self._app.left else self._client.close_reason

    # The client's actions

    async def send_text(self, data: str) -> None:
        """Send text."""
        await self._send(data)

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes."""
        await self._send(data)

    async def send_json(self, data: Any) -> None:
        """Send text that is JSON."""
        await self._send(json.dumps(data))

    async def _send(self, data: str | bytes) -> None:
        if self._app.over:
            raise self._closed() from self._app.raised
        self._server.client_sends(data)
        await anyio.lowlevel.checkpoint()

    async def receive(self, expected: str = "a message") -> str | bytes:
        """Await the app's next message.

        Args:
            expected: the kind of message that is expected, for the error.

        Raises:
            TimeoutError: there is none in time. The error names the lines where the app waits.
            WebSocketClosed: there are no more, and the websocket is closed.
        """
        __tracebackhide__ = True
        if not self._reads:
            raise RuntimeError("this client does not read: call resume_reading() before you receive")
        messages = self._client.messages
        if not await self._app.until(lambda: bool(messages) or self._app.over):
            waited = f"the app sent nothing within {self._timeout} s; expected {expected}"
            raise TimeoutError(f"{waited}; {self._app.doing()}")
        if not messages:
            raise self._closed() from self._app.raised
        return messages.pop(0)

    async def receive_text(self) -> str:
        """Await the app's next message, which must be text."""
        message = await self.receive("text")
        assert isinstance(message, str), f"expected text, and the app sent bytes: {message!r}"
        return message

    async def receive_bytes(self) -> bytes:
        """Await the app's next message, which must be bytes."""
        message = await self.receive("bytes")
        assert isinstance(message, bytes), f"expected bytes, and the app sent text: {message!r}"
        return message

    async def receive_json(self) -> Any:
        """Await the app's next message, which must be JSON, and return its value."""
        return json.loads(await self.receive("JSON"))

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close the websocket, unless the connection is over."""
        self._app.leave(code, reason)
        await anyio.lowlevel.checkpoint()

    async def vanish(self) -> None:
        """Leave without a close frame, as when the network fails: the app gets code 1006."""
        await self.close(1006)

    def stop_reading(self) -> None:
        """Make the app wait in `send()` from now on, as if the client's buffers were full."""
        self._reads = False
        self._server.client_stops_reading()

    def resume_reading(self) -> None:
        """Read again."""
        self._reads = True
        self._server.client_reads()

    async def __aenter__(self) -> WebSocketSession:
        """Call the app, and await its answer to the handshake."""
        __tracebackhide__ = True
        app = self._app
        app.start()
        try:
            late = await app.answer()
            if late is not None:
                raise TimeoutError(str(late))
            if not app.answered:
                cancelled = Violation("H3", "the app was cancelled before it answered the handshake")
                raise app.failure(strict=True) or ContractBroken([cancelled])
        except BaseException:
            await app.clean_up()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Let the client leave, wait for the app, and raise if anything went wrong."""
        __tracebackhide__ = True
        app = self._app
        app.leave(1000 if exc is None else 1006)
        try:
            if exc is None:
                await app.end()
        finally:
            await app.clean_up()
        failure = app.failure(strict=self._strict)
        if failure is None:
            return
        if exc is None or not isinstance(failure, Exception):  # Ctrl-C comes first
            raise failure
        if failure is not exc.__cause__:
            add_note(exc, failure if isinstance(failure, ContractBroken) else f"the app raised {failure!r}")

    def _closed(self) -> WebSocketClosed:
        if self._client.denial is not None:
            return WebSocketClosed(1006, f"the handshake was denied with {self._client.denial.status}")
        assert self.close_code is not None
        return WebSocketClosed(self.close_code, self.close_reason)


def asked(
    path: str, *, subprotocols: Iterable[str], headers: Mapping[str, str] | AnyHeaders, denial_extension: bool = True
) -> StrictServer:
    """Return a server that has received a client's handshake; see `WebSocketSession` for the parameters."""
    offered = list(subprotocols)
    target, _, query = path.partition("?")
    server = StrictServer(
        unquote(target), subprotocols=offered, headers=_handshake(offered, headers), denial_extension=denial_extension
    )
    server.scope["raw_path"] = quote(target, safe=URL).encode()
    server.scope["query_string"] = quote(query, safe=URL).encode()
    return server


def _handshake(subprotocols: list[str], headers: Mapping[str, str] | AnyHeaders) -> Headers:
    """Return the headers of the client's request."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    given = [(_latin1(name).lower(), _latin1(value)) for name, value in pairs]
    own = {**HANDSHAKE, b"sec-websocket-protocol": ", ".join(subprotocols).encode("latin-1")}
    names = {name for name, _ in given}
    return [(name, value) for name, value in own.items() if value and name not in names] + given


def _latin1(part: str | bytes) -> bytes:
    return part.encode("latin-1") if isinstance(part, str) else part
