"""The frames of an open websocket."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from wsproto.frame_protocol import FrameProtocol, Opcode

from asgi_wsguard.probe.client.wire import Cut
from asgi_wsguard.probe.model import Hear, Leave, Say

if TYPE_CHECKING:
    from asgi_wsguard.probe.client.http1 import HTTP1
    from asgi_wsguard.probe.client.http2 import HTTP2
    from asgi_wsguard.probe.client.http3 import HTTP3
    from asgi_wsguard.probe.client.observation import Observation


class Websocket:
    """The frames of an open websocket."""

    def __init__(self, connection: HTTP1 | HTTP2 | HTTP3, seen: Observation) -> None:
        self._connection = connection
        self._seen = seen
        self._frames = FrameProtocol(client=True, extensions=[])
        self._parts: list[Any] = []
        self._left = False
        self._heard = 0

    def take(self, step: Say | Hear | Leave) -> None:
        """Take one of the client's steps."""
        if isinstance(step, Say):
            self._connection.write(bytes(self._frames.send_data(step.text)))
        elif isinstance(step, Leave):
            self._close(step.code)
        else:
            self._heard += 1
            while self._seen.code is None and len(self._seen.messages) < self._heard:
                self._read()

    def end(self) -> None:
        """Wait for the close, and then for the server to end the connection."""
        while self._seen.code is None:
            self._read()
        self._connection.finish()
        with contextlib.suppress(Cut):  # a reset after the close frames does no harm
            b"".join(iter(self._connection.read, b""))

    def _read(self) -> None:
        data = self._connection.read()
        if not data:
            raise Cut
        self._frames.receive_bytes(data)
        for frame in self._frames.received_frames():
            payload: Any = frame.payload
            if frame.opcode is Opcode.CLOSE:
                code, reason = payload
                self._seen.code, self._seen.reason = int(code), str(reason or "")
                self._close(int(code))
                return
            if frame.opcode is Opcode.PING:
                self._connection.write(bytes(self._frames.pong(payload)))
            elif frame.opcode is not Opcode.PONG:
                self._parts.append(payload)
                if frame.message_finished:
                    empty = self._parts[0][:0]
                    self._seen.messages.append(empty.join(self._parts))
                    self._parts = []

    def _close(self, code: int) -> None:
        if not self._left:
            self._left = True
            self._connection.write(bytes(self._frames.close(code)))
