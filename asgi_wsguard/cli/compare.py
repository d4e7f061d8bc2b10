"""The command `compare`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from asgi_wsguard.check.findings import relative
from asgi_wsguard.check.load import CannotLoad, load
from asgi_wsguard.check.visits import Question
from asgi_wsguard.cli.check import check
from asgi_wsguard.cli.routes import routed
from asgi_wsguard.cli.servers import asked_for
from asgi_wsguard.cli.terminal import terminal
from asgi_wsguard.compare.clients import Client, Script
from asgi_wsguard.compare.run import Comparison, UsersApp
from asgi_wsguard.compare.run import compare as compared
from asgi_wsguard.compare.verdict import Finding
from asgi_wsguard.probe.servers import SERVERS, Server

TIMEOUT = 65.0
"""Seconds. It is longer than any of the guard's own limits."""
PARTS = {
    "client": "what the client got",
    "logs": "what was logged at WARNING or above",
    "left": "what was left behind",
    "took": "seconds until the client was done",
}

OF_CHECK = {option.name: option for option in check.params}
SHARED = ("app", "paths", "values", "headers", "subprotocols", "messages", "factory")


def _servers(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> list[Server]:
    installed = [server for server in asked_for(names, SERVERS) if not server.missing()]
    return installed if names else installed[:1]


@click.command(params=[OF_CHECK[name] for name in SHARED])
@click.option(
    "--client",
    "scripts",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Your own client instead: a Python script, called with the server's address. Repeatable.",
)
@click.option(
    "--timeout",
    default=TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    callback=OF_CHECK["timeout"].callback,
    help="How long a client waits for anything, and how long the app may take to end after it.",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    callback=_servers,
    help="A server, such as daphne; uvicorn means all of uvicorn-*. Repeatable. Default: uvicorn, if installed.",
)
def compare(
    app: str,
    servers: list[Server],
    timeout: float,
    factory: bool,
    scripts: Sequence[Path],
    paths: tuple[str, ...],
    values: dict[str, str],
    **asked: Any,
) -> int:
    """Show what the guard would change for your app.

    Clients visit each websocket route of MODULE:APP on a real server, without the guard and behind it, with default
    options. Each difference is shown: what the client got, what was logged, what was left behind, and how long it took.
    The exit status is 1 if a difference is not an improvement or if every handshake was denied, and 2 if there is no
    app to compare.
    """
    console = terminal()
    try:
        loaded = load(app, factory=factory)
    except CannotLoad as error:
        raise click.UsageError(str(error)) from error
    clients: list[Client] = [Script(file) for file in scripts]
    routes = () if clients or paths else routed(loaded, values, console)
    questions = [Question(path=route.path, host=route.host, timeout=timeout, **asked) for route in routes]
    if not clients and not routes:
        questions = [Question(path=path, timeout=timeout, **asked) for path in paths or ("/",)]
    worse = 0
    for server in servers:
        with Console(stderr=True).status(f"Visiting the app on {server.name}"):
            try:
                found = compared(server, UsersApp(app, factory, timeout), questions, clients)
            except RuntimeError as error:
                lines = [line.strip("+-| ") for line in str(error).splitlines()]
                raise click.UsageError(f"{server.name} did not start: {[*filter(None, lines)][-1]}") from error
        for finding in found.findings:
            console.print(_shown(finding, server), soft_wrap=True)
        console.print(_sum(found, server), soft_wrap=True)
        worse += found.denied + sum(not finding.better for finding in found.findings)
    return 1 if worse else 0


def _shown(finding: Finding, server: Server) -> Text:
    client, difference = finding.client, finding.difference
    clauses = f"[{', '.join(finding.clauses)}] " if finding.clauses else ""
    text = Text.assemble((clauses, "green" if finding.better else "bold red"), (client.place, "bold"))
    text.append(f" on {server.name}{', ' * bool(client.does)}{client.does}: {PARTS[difference.part]}")
    text.append(" (an improvement)" if finding.better else "", "green")
    for name, value in (("bare", difference.bare), ("guarded", difference.guarded)):
        lines = value if isinstance(value, list) else [str(value)]
        for number, line in enumerate(lines or ["nothing"]):
            text.append(f"\n  {'' if number else name:8} {relative(line)}")
    return text


def _sum(found: Comparison, server: Server) -> Text:
    better = sum(finding.better for finding in found.findings)
    worse = len(found.findings) - better
    if better and worse:
        counts = f"{_count(better, 'improvement')} and {_count(worse, 'other difference')}"
    else:
        counts = _count(better, "improvement") if better else _count(worse, "difference")
    told = f"{counts} in {_count(found.visits, 'visit')}"
    text = Text(f"{told} on {server.name}", "red" if worse or found.denied else "green")
    if found.denied:
        text.append("; no websocket was open: are --path, --header and --subprotocol right?", "yellow")
    if found.own:
        text.append("; the bare side bypassed the guard in the app's stack, and the guarded side used it", "yellow")
    return text


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}" if number else f"no {what}"
