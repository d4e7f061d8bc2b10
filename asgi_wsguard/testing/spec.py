"""The messages that an ASGI server may get for one websocket, according to the ASGI spec and, for closes, RFC 6455.

The tests of the guard use it, so it shares no code with the guard.
"""

from __future__ import annotations

import enum
import string
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

BYTES = (bytes, bytearray, memoryview)  # the spec says bytes, but every server accepts all three
TOKEN = frozenset(b"!#$%&'*+-.^_`|~" + (string.ascii_letters + string.digits).encode())  # RFC 9110 section 5.6.2
CONTROL = frozenset({*range(32), 127} - {ord("\t")})  # RFC 9110 section 5.5
# Headers that the server itself sends with an accept, or that a 101 response must not have.
SERVERS_OWN = (
    *(b"connection", b"content-length", b"transfer-encoding", b"upgrade"),
    *(b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-protocol"),
)


class IllegalSequence(AssertionError):
    """The server got a message that the ASGI spec forbids.

    Attributes:
        clause: the id of the contract's clause for it, such as ``"H10"``.
        where: file and line that sent it, if known.
    """

    def __init__(self, clause: str, what: str) -> None:
        super().__init__(what)
        self.clause: str = clause
        self.where = ""


class State(enum.Enum):
    """The state of the websocket, in words that complete "sent ..."."""

    CONNECTING = "before the handshake was answered"
    DENYING = "in a denial response"
    OPEN = "on an open connection"
    ENDED = "after the end of the connection"


EXPECTED = {
    State.CONNECTING: ("websocket.accept", "websocket.close", "websocket.http.response.start"),
    State.DENYING: ("websocket.http.response.body",),
    State.OPEN: ("websocket.send", "websocket.close"),
    State.ENDED: (),
}
# The clause for a message that is not expected.
CLAUSES = {State.CONNECTING: "H10", State.DENYING: "H10", State.OPEN: "O10", State.ENDED: "O6"}

Fault = tuple[str, str]  # the clause, and what is wrong


class SpecChecker:
    """Follows the messages of one app, and raises `IllegalSequence` at one that the spec forbids in its state."""

    def __init__(self, *, subprotocols: Collection[str], denial_extension: bool) -> None:
        self.state = State.CONNECTING
        self.app_ended = False
        self._subprotocols = subprotocols
        self._denial_extension = denial_extension

    def check(self, message: object) -> None:
        """Check the next message, when the server begins to process it.

        Raises:
            IllegalSequence: the spec forbids it. The state does not change.
        """
        fault = self._fault(message)
        if fault:
            raise IllegalSequence(fault[0], f"{message!r}: {fault[1]}")
        assert isinstance(message, dict)
        self.state = self._after(message)

    def _after(self, message: dict[str, Any]) -> State:
        kind = message["type"]
        if kind in ("websocket.accept", "websocket.send"):
            return State.OPEN
        if kind == "websocket.http.response.start" or message.get("more_body", False):
            return State.DENYING
        return State.ENDED

    def _fault(self, message: object) -> Fault | None:
        if self.app_ended:
            return "H13", "sent after the app had ended"
        if not isinstance(message, dict):
            return "H10", "not a dict"
        kind = message.get("type")
        if kind not in EXPECTED[self.state]:
            closed_again = self.state is State.ENDED and kind == "websocket.close"
            return "O5" if closed_again else CLAUSES[self.state], f"sent {self.state.value}"
        return next(self._malformed(kind, message), None)

    def _malformed(self, kind: str, message: dict[str, Any]) -> Iterator[Fault]:
        if kind == "websocket.accept":
            subprotocol = message.get("subprotocol")
            if subprotocol is not None and subprotocol not in self._subprotocols:
                yield "H14", "the client did not offer this subprotocol"
            yield from (("H11", what) for what in _bad_headers(message, SERVERS_OWN))
        elif kind == "websocket.send":
            yield from (("O9", what) for what in _bad_data(message))
        elif kind == "websocket.close" and self.state is State.OPEN:  # before, it is a plain 403
            yield from (("O4", what) for what in _bad_close(message))
        elif kind == "websocket.http.response.start":
            if not self._denial_extension:
                yield "H9", "the server has no websocket.http.response extension"
            status = message.get("status")
            if not isinstance(status, int) or not 200 <= status <= 599:
                yield "H10", "status is not a final HTTP status"
            yield from (("H10", what) for what in _bad_headers(message))
        elif kind == "websocket.http.response.body" and not isinstance(message.get("body", b""), BYTES):
            yield "H10", "body is not bytes"


def _bad_headers(message: dict[str, Any], forbidden: Collection[bytes] = ()) -> Iterator[str]:
    try:
        headers = [(name, value) for name, value in message.get("headers", ())]
    except (TypeError, ValueError):
        headers = []
        yield "headers are not pairs"
    for name, value in headers:
        if not isinstance(name, bytes) or not isinstance(value, bytes):
            yield "a header is not bytes"
        elif not name or not TOKEN.issuperset(name) or name.lower() in forbidden:
            yield f"a header must not be named {name!r}"
        elif not CONTROL.isdisjoint(value):
            yield "the value of a header holds a control character"


def _bad_data(message: dict[str, Any]) -> Iterator[str]:
    text, data = message.get("text"), message.get("bytes")
    if (text is None) == (data is None):
        yield "exactly one of text and bytes must be given"
    elif text is not None and not isinstance(text, str):
        yield "text is not a str"
    elif data is not None and not isinstance(data, BYTES):
        yield "bytes is not bytes"


def _bad_close(message: dict[str, Any]) -> Iterator[str]:
    code, reason = message.get("code", 1000), message.get("reason")
    if not isinstance(code, int) or not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        yield "this close code may not be sent"
    if reason is not None and not isinstance(reason, str):
        yield "reason is not a str"
    elif reason and reason.encode(errors="ignore").decode() != reason:
        yield "UTF-8 cannot encode the reason"
    elif reason and len(reason.encode()) > 123:
        yield "the reason is over 123 bytes"
