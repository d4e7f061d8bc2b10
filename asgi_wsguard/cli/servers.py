"""The lookup of servers that the user asked for."""

from __future__ import annotations

from collections.abc import Sequence

import click

from asgi_wsguard.cli.names import one_of
from asgi_wsguard.probe.servers import Server


def asked_for(names: Sequence[str], there: Sequence[Server]) -> list[Server]:
    """Return the servers with these names, where ``uvicorn`` means all of its set-ups. No names mean all servers.

    Args:
        names: what the user typed.
        there: the servers to choose from.

    Raises:
        click.UsageError: there is no server with a name, or it is not installed.
    """
    known = dict.fromkeys(name for server in there for name in (_family(server), server.name))
    chosen = {one_of("server", name, known) for name in names} or {""}
    servers = [server for server in there if chosen & {"", server.name, _family(server)}]
    for name in chosen:
        those = [server for server in servers if name in ("", server.name, _family(server))]
        if all(server.missing() for server in those):
            raise click.UsageError(f"{f'{name} is not' if name else 'no server is'} installed: {pip(those)}")
    return servers


def pip(servers: Sequence[Server]) -> str:
    """Return the command that installs their missing packages."""
    return f"pip install {' '.join(dict.fromkeys(name for server in servers for name in server.missing()))}"


def _family(server: Server) -> str:
    return server.name.partition("-")[0]
