"""The exceptions that the guard raises in the app."""

from __future__ import annotations


class ProtocolViolation(RuntimeError):
    """The app broke the ASGI specification.

    Raised by the ``await send(...)`` at fault. If the guard leaves a missing answer to the server's own crash path, it
    is raised when the app has ended. The message names the clause of the contract, what the app did, and what was
    expected.

    Attributes:
        clause: the id of the clause, such as ``"H10"``.
        what: what the app did.
    """

    def __init__(self, clause: str, what: str, expected: str) -> None:
        super().__init__(f"[{clause}] {what}; expected {expected}")
        self.clause: str = clause
        self.what: str = what
        self._init = (clause, what, expected)

    def __reduce__(self) -> tuple[type[ProtocolViolation], tuple[str, str, str]]:
        return type(self), self._init


class ClientDisconnected(OSError):
    """The connection is over: the client has left, or it was denied or closed.

    The ASGI specification (2.4) asks for a subclass of ``OSError`` from ``send()`` in this case. Starlette turns it
    into its ``WebSocketDisconnect``. An app may let the disconnect of its own connection escape: that is no error.

    Attributes:
        path: the path of the connection that is over; empty where it is not known.
    """

    def __init__(self, text: str = "", path: str = "", connection: object = None) -> None:
        super().__init__(text)
        self.path: str = path
        self._connection = connection

    def __reduce__(self) -> tuple[type[ClientDisconnected], tuple[str, str]]:
        return type(self), (str(self), self.path)

    def is_of(self, connection: object) -> bool:
        """Return whether it is the disconnect of this connection, or of an unknown one."""
        return self._connection is None or self._connection is connection
