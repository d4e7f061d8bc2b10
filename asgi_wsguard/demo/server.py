"""Serves the demo with uvicorn, which the extra `demo` installs."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import uvicorn
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from asgi_wsguard.demo.app import LISTENS, app
from asgi_wsguard.demo.wire import Overheard


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: the host is unknown, or the port is taken.
    """
    LISTENS["host"] = host.lower()
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=family)


def serve(listener: socket.socket) -> None:
    """Serve until Ctrl-C. The page shows the faults of the apps, so they are not logged."""
    websockets: Any = AutoWebSocketsProtocol
    config = uvicorn.Config(
        app,
        ws=type("OverheardProtocol", (Overheard, websockets), {}),
        lifespan="on",
        log_config=None,
        log_level="critical",
        timeout_graceful_shutdown=0,
    )
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listener])
