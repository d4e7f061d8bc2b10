"""Rejects a handshake by a response, over HTTP/2 and HTTP/3, where the server's own 403 may be illegal."""

from __future__ import annotations

from ..rules.denial import DenialResponse
from ..rules.messages import ACCEPT, CLOSE, Message
from .outbox import Send

# hypercorn's own 403 (0.18.0, `WSStream._send_error_response`) has the header `connection`, which is legal in HTTP/1.1
# only (RFC 9114 section 4.2). Over HTTP/2 the library h2 removes it. Over HTTP/3 aioquic's client ends the QUIC
# connection, with everything on it.
VERSIONS = ("2", "3")


def refusing_by_response(send: Send) -> Send:
    """Wrap the server's `send()`, so that a close before accept becomes a response with the same status.

    Args:
        send: the `send()` of a server with the ``websocket.http.response`` extension.
    """
    accepted = False

    async def send_or_refuse(message: Message) -> None:
        nonlocal accepted
        kind = message["type"]
        if kind == CLOSE and not accepted:
            for part in DenialResponse(403, "").messages():
                await send(part)
            return
        before = accepted
        accepted = accepted or kind == ACCEPT
        try:
            await send(message)
        except Exception:
            accepted = before  # a cancelled accept counts as sent, a refused one does not
            raise

    return send_or_refuse
