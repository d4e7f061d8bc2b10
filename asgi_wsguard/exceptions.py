"""What the guard raises into the app."""

from __future__ import annotations


class ProtocolViolation(RuntimeError):
    """The app broke the ASGI specification.

    Raised at the very ``await send(...)`` that was wrong, or, where the guard hands a missing answer to the server's
    own crash path, when the app has ended. The message names the clause of the contract, what the app did, and what
    was expected.

    Attributes:
        clause: the id of the clause, such as ``"H10"``.
        what: what the app did.
    """

    def __init__(self, clause: str, what: str, expected: str) -> None:
        super().__init__(f"[{clause}] {what}; expected {expected}")
        self.clause = clause
        self.what = what
        self._init = (clause, what, expected)

    def __reduce__(self) -> tuple[type[ProtocolViolation], tuple[str, str, str]]:
        return type(self), self._init


class ClientDisconnected(OSError):
    """The connection is over: the client has left, or it was denied or closed.

    The ASGI specification (2.4) asks for a subclass of ``OSError`` from ``send()`` in this case. Starlette turns it
    into its ``WebSocketDisconnect``. An app may let it escape: that is no error.
    """
