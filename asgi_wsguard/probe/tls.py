"""The TLS options of each server, and the differences that TLS makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from asgi_wsguard.probe.model import Gone, Until, Vanish
from asgi_wsguard.probe.servers import Server

_FILES = ("{port}", "{port} --certfile fullchain.pem --keyfile privkey.pem")

COMMANDS = {
    "uvicorn": ("{port}", "{port} --ssl-certfile fullchain.pem --ssl-keyfile privkey.pem"),
    "hypercorn": _FILES,
    "anycorn": _FILES,
    "daphne": (
        "-b 127.0.0.1 -p {port}",
        "-e ssl:{port}:interface=127.0.0.1:certKey=cert.pem:extraCertChain=chain.pem:privateKey=privkey.pem",
    ),
    "granian": ("{port}", "{port} --ssl-certificate fullchain.pem --ssl-keyfile privkey.pem"),
    "gunicorn": _FILES,
}
"""The part of each program's command to replace, and its replacement."""

INSTEAD: Mapping[str, Mapping[str, Any]] = {
    # anyio (4.16.0) regards a TLS stream as broken once a send on it was cancelled. anycorn (0.20.1) then sends nothing
    # more, but does not cut the connection either.
    "anycorn-asyncio": {"sends-in-vain": {"client_gets": Gone(), "steps": (Until("ClientDisconnected"), Vanish())}},
    # A send that is stuck when the connection ends is stuck forever: nothing wakes it but `resume_writing`, which
    # uvloop does not call over TLS once the connection is being closed, even if the client then reads.
    "gunicorn-asgi": {"returns-in-vain": {"steps": (), "logs": "DEBUG O1"}},
}
"""More entries of `Server.instead`, by the server's name."""


def over_tls(server: Server) -> Server:
    """Return the same server, serving TLS with the files of the folder that it runs in.

    They are named as certbot names them: `privkey.pem`; `fullchain.pem`, which is `cert.pem` and then `chain.pem`.
    """
    gives_way, to = COMMANDS[server.command.split()[1]]
    return replace(
        server,
        name=f"{server.name}-tls",
        command=server.command.replace(gives_way, to),
        instead={**server.instead, **INSTEAD.get(server.name, {})},
    )
