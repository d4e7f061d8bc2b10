"""An in-memory ASGI server for one websocket, which refuses everything that the ASGI spec forbids."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from asgi_wsguard.report import lines
from asgi_wsguard.testing.spec import IllegalSequence, SpecChecker, State

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Container, Iterable

Headers = list[tuple[bytes, bytes]]


@dataclass
class Denial:
    """The HTTP response that denied a handshake."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes = b""
    complete: bool = False


@dataclass
class Client:
    """The client's view of the connection so far."""

    accepted: bool = False
    subprotocol: str | None = None
    headers: Headers = field(default_factory=list)
    messages: list[str | bytes] = field(default_factory=list)
    denial: Denial | None = None
    close_code: int | None = None
    close_reason: str = ""
    left: bool = False

    @property
    def answered(self) -> bool:
        """Whether the handshake is answered."""
        return self.accepted or self.denial is not None

    @property
    def ended(self) -> bool:
        """Whether the app has ended the connection."""
        return self.close_code is not None or (self.denial is not None and self.denial.complete)


class StrictServer:
    """Serves one websocket to one app, in memory, on asyncio and on trio.

    Each message is judged at the moment the coroutine of `send` starts to run. A message that the ASGI spec forbids
    there raises `IllegalSequence`, and is kept in `violations`, in case the app swallows the exception.

    The options simulate differences between real servers.

    Args:
        path: the path.
        subprotocols: the subprotocols that the client offers.
        headers: the headers of its request.
        denial_extension: whether the app may deny with a response (`websocket.http.response`).
        refused_codes: close codes that the server refuses, as daphne does: `send` raises `ValueError`.
        raise_when_gone: once the client has left, `send` raises `OSError` (uvicorn) or does nothing (hypercorn).
        repeat_disconnect: after the end, `receive` returns the disconnect at once and each time (uvicorn), or, after
            the first disconnect or the app's own close, never returns (hypercorn).
        send_checkpoints: how many times `send` lets other tasks run before it returns or raises.

    Attributes:
        scope: the scope for the app; it may be changed before the run.
        client: the client's view of the connection so far.
        sent: the messages that the app has sent.
        sent_after_disconnect: the messages that it has sent since `receive` returned the disconnect.
        violations: the messages that the ASGI spec forbids.
    """

    def __init__(
        self,
        path: str = "/",
        *,
        subprotocols: Iterable[str] = (),
        headers: Iterable[tuple[bytes, bytes]] = (),
        denial_extension: bool = True,
        refused_codes: Container[int] = (),
        raise_when_gone: bool = True,
        repeat_disconnect: bool = True,
        send_checkpoints: int = 0,
    ) -> None:
        self.scope: dict[str, Any] = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": list(headers),
            "client": ("127.0.0.1", 50000),
            "server": ("127.0.0.1", 80),
            "subprotocols": list(subprotocols),
            "state": {},
            "extensions": {"websocket.http.response": {}} if denial_extension else {},
        }
        self.client = Client()
        self.sent: list[Any] = []
        self.sent_after_disconnect: list[Any] = []
        self.violations: list[IllegalSequence] = []
        self._refused_codes = refused_codes
        self._raise_when_gone = raise_when_gone
        self._repeat_disconnect = repeat_disconnect
        self._send_checkpoints = send_checkpoints
        self._spec = SpecChecker(subprotocols=self.scope["subprotocols"], denial_extension=denial_extension)
        self._start: dict[str, Any] = {}
        self._disconnect_received = False
        self._inbox: deque[dict[str, Any]] = deque([{"type": "websocket.connect"}])
        self._arrival: anyio.Event | None = None
        self._window: anyio.Event | None = None  # for messages that the client does not read now

    async def run(self, app: Callable[..., Awaitable[None]]) -> None:
        """Call the app, and re-raise its exception. Whatever it sends after its end is a violation."""
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            self._spec.app_ended = True

    # The client's side.

    def client_sends(self, data: str | bytes) -> None:
        """Let a message from the client arrive."""
        self._arrive({"type": "websocket.receive", "text" if isinstance(data, str) else "bytes": data})

    def client_leaves(self, code: int = 1005, reason: str = "") -> None:
        """Let the client close the connection, or vanish with code 1006."""
        self.client.left = True
        self.client_reads()
        self._arrive({"type": "websocket.disconnect", "code": code, "reason": reason})

    def client_stops_reading(self) -> None:
        """Fill the TCP window: from now on, a `send` of data waits until the client reads again, or leaves."""
        self._window = self._window or anyio.Event()

    def client_reads(self) -> None:
        """Let the client read again."""
        if self._window is not None:
            self._window.set()
            self._window = None

    def _arrive(self, message: dict[str, Any]) -> None:
        self._inbox.append(message)
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None

    # The app's side.

    async def receive(self) -> dict[str, Any]:
        """Give the app its next message."""
        while not self._inbox:
            self._arrival = self._arrival or anyio.Event()
            await self._arrival.wait()
        message = self._inbox[0]
        if message["type"] != "websocket.disconnect":
            return self._inbox.popleft()
        self._disconnect_received = True
        if not self._repeat_disconnect:
            self._inbox.popleft()
        return message

    async def send(self, message: Any) -> None:
        """Check a message, and deliver it to the client."""
        self.sent.append(message)
        # No client receives a close before the answer then, but some servers wait for it.
        lets_go = self._spec.state is State.CONNECTING and _close_code(message) is not None
        if self._disconnect_received and not lets_go:
            self.sent_after_disconnect.append(message)
        message = _with_headers_read(message)
        await self._deliver(message, self._take(message))

    async def _deliver(self, message: Any, error: Exception | None) -> None:
        """Let other tasks run, and then return or raise as `send` has to."""
        if self._window is not None and error is None and message["type"] == "websocket.send":
            await self._window.wait()
        for _ in range(self._send_checkpoints):
            await anyio.lowlevel.checkpoint()
        if error is not None:
            try:
                raise error
            finally:
                del error  # it refers to this frame

    def _take(self, message: Any) -> Exception | None:
        """Process a message, and return the error that `send` has to raise."""
        closes = self._spec.state is State.OPEN and _close_code(message) is not None
        if closes and message.get("code", 1000) in self._refused_codes:
            return ValueError(f"this server does not send close code {message['code']}")
        # The code of a close that no client receives does no harm. Litestar closes with the 1006 that it received.
        if not (self._disconnect_received and self.client.left and closes):
            try:
                self._spec.check(message)
            except IllegalSequence as violation:
                violation.where = lines.of_caller()
                self.violations.append(violation)
                return violation
        if self.client.left:
            return OSError("the client has left") if self._raise_when_gone else None
        getattr(self, "_on_" + message["type"].replace(".", "_"))(message)
        if self.client.ended and self._repeat_disconnect:
            code = 1006 if self.client.close_code is None else self.client.close_code
            self._arrive({"type": "websocket.disconnect", "code": code, "reason": self.client.close_reason})
        return None

    def _on_websocket_accept(self, message: dict[str, Any]) -> None:
        self.client.accepted = True
        self.client.subprotocol = message.get("subprotocol")
        self.client.headers = _pairs(message)

    def _on_websocket_send(self, message: dict[str, Any]) -> None:
        text = message.get("text")
        self.client.messages.append(bytes(message["bytes"]) if text is None else text)

    def _on_websocket_close(self, message: dict[str, Any]) -> None:
        if self.client.accepted:
            self.client.close_code = message.get("code", 1000)
            self.client.close_reason = message.get("reason") or ""
        else:
            self.client.denial = Denial(403, complete=True)

    def _on_websocket_http_response_start(self, message: dict[str, Any]) -> None:
        self._start = message  # the spec: nothing goes out before the first body

    def _on_websocket_http_response_body(self, message: dict[str, Any]) -> None:
        if self.client.denial is None:
            self.client.denial = Denial(self._start["status"], _pairs(self._start))
        self.client.denial.body += message.get("body", b"")
        self.client.denial.complete = not message.get("more_body", False)


def _with_headers_read(message: Any) -> Any:
    """Replace headers that are an iterator by a list, because they can be read only once."""
    if isinstance(message, dict) and isinstance(message.get("headers"), Iterator):
        return {**message, "headers": list(message["headers"])}
    return message


def _pairs(message: dict[str, Any]) -> Headers:
    return [(name, value) for name, value in message.get("headers", ())]


def _close_code(message: Any) -> Any:
    if isinstance(message, dict) and message.get("type") == "websocket.close":
        return message.get("code", 1000)
    return None
