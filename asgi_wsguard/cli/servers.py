"""The servers that a user asked for."""

from __future__ import annotations

from collections.abc import Sequence

import click

from asgi_wsguard.cli.names import one_of
from asgi_wsguard.probe.servers import SERVERS, Server


def asked_for(names: Sequence[str]) -> list[Server]:
    """Return the servers of these names, of which ``uvicorn`` is all of uvicorn's; of no names, all.

    Raises:
        click.UsageError: there is no server of a name, or nothing of it is installed.
    """
    known = dict.fromkeys(name for server in SERVERS for name in (_family(server), server.name))
    chosen = {one_of("server", name, known) for name in names} or {""}
    servers = [server for server in SERVERS if chosen & {"", server.name, _family(server)}]
    for name in chosen:
        those = [server for server in servers if name in ("", server.name, _family(server))]
        if all(server.missing() for server in those):
            raise click.UsageError(f"{f'{name} is not' if name else 'no server is'} installed: {pip(those)}")
    return servers


def pip(servers: Sequence[Server]) -> str:
    """Return the command that installs what they miss."""
    return f"pip install {' '.join(dict.fromkeys(name for server in servers for name in server.missing()))}"


def _family(server: Server) -> str:
    return server.name.partition("-")[0]
