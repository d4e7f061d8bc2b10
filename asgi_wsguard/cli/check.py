"""The command `check`."""

from __future__ import annotations

import math
import re
from typing import Any

import anyio
import click
from rich.text import Text

from asgi_wsguard.check import in_memory, on_server
from asgi_wsguard.check.findings import Finding, Findings, relative
from asgi_wsguard.check.load import CannotLoad, load
from asgi_wsguard.check.visits import Question
from asgi_wsguard.cli.routes import routed
from asgi_wsguard.cli.servers import asked_for
from asgi_wsguard.cli.terminal import terminal
from asgi_wsguard.probe.servers import SERVERS, Server

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A name in HTTP (RFC 9110)."""
VALUE = re.compile(r"[\t -~\x80-\xff]*")
OWN = ("connection", "upgrade", "content-length", "transfer-encoding")
"""Headers that the client adds itself, in addition to all that begin with sec-websocket-."""


def _headers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values:
        name, colon, content = value.partition(":")
        if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(content):
            wanted = "NAME:VALUE, such as Origin:https://example.org"
            raise click.BadParameter(f"{value!r} is not a header; write {wanted}", ctx, param)
        if name.lower() in OWN or name.lower().startswith("sec-websocket-"):
            hint = "; see --subprotocol" if name.lower().endswith("protocol") else ""
            raise click.BadParameter(f"{name} is a header that the client sends itself{hint}", ctx, param)
        pairs.append((name, content.strip()))
    return tuple(pairs)


def _token(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not TOKEN.fullmatch(value):
            raise click.BadParameter(f"{value!r} is not the name of a subprotocol", ctx, param)
    return values


def _paths(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not value.startswith("/"):
            raise click.BadParameter(f"{value!r} does not begin with a slash; write it like /ws?room=1", ctx, param)
    return values


def _values(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for value in values:
        name, equals, content = value.partition("=")
        if not equals or not name.isidentifier() or not content:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE, such as room=1", ctx, param)
        if name in pairs:
            raise click.BadParameter(f"{name} has two values, {pairs[name]!r} and {content!r}", ctx, param)
        pairs[name] = content
    return pairs


def _seconds(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0 < value < math.inf:
        raise click.BadParameter(f"{value:g} is not a number of seconds to wait", ctx, param)
    return value


def _servers(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> list[Server]:
    return [server for server in asked_for(names, SERVERS) if not server.missing()] if names else []


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option(
    "--path",
    "paths",
    multiple=True,
    callback=_paths,
    help="The path, and optionally a query. Repeatable. Default: each websocket route of the app.",
)
@click.option(
    "--param",
    "values",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_values,
    help="The value of a parameter in the app's routes, such as room=1. Repeatable.",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    callback=_headers,
    help="A header that the clients send. Repeatable.",
)
@click.option(
    "--subprotocol", "subprotocols", multiple=True, callback=_token, help="A subprotocol that they offer. Repeatable."
)
@click.option("--send", "messages", multiple=True, metavar="TEXT", help="A message that they send. Repeatable.")
@click.option(
    "--timeout",
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    callback=_seconds,
    help="How long the app may take to answer, to receive a message, and to end.",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    callback=_servers,
    help="Also visit the app on a server, such as daphne; uvicorn means all of uvicorn-*. Repeatable.",
)
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that makes the app.")
def check(
    app: str, servers: list[Server], paths: tuple[str, ...], values: dict[str, str], factory: bool, **asked: Any
) -> int:
    """Find what your app does wrong with websockets.

    Clients visit each websocket route of MODULE:APP in memory: one that closes, one that leaves before the answer, one
    that vanishes, one that does not read. Each fault of the app is reported in one line, with the clause of the
    contract and the file and line. The exit status is 1 if there is a fault, and 2 if nothing could be visited.
    """
    console = terminal()
    findings = Findings(lambda finding: console.print(_line(finding), soft_wrap=True))
    try:
        loaded = load(app, factory=factory)
    except CannotLoad as error:
        raise click.UsageError(str(error)) from error
    routes = () if paths else routed(loaded, values, console)
    questions = [Question(path=route.path, host=route.host, **asked) for route in routes]
    questions = questions or [Question(path=path, **asked) for path in paths or ("/",)]
    # If all servers run on trio, the app may be for trio only.
    on_trio = bool(servers) and all(server.name.endswith("-trio") for server in servers)
    if anyio.run(in_memory.check, loaded, questions, findings, backend="trio" if on_trio else "asyncio"):
        for server in servers:
            on_server.check(server, app, factory=factory, questions=questions, findings=findings)
    if not paths and not findings.count and len(findings.denied) == len(questions):
        hint = "are --header and --subprotocol right?" if routes else "name a path by --path"
        why = "every route" if routes else "shows no websocket routes, and denies /"
        raise click.UsageError(f"nothing was visited: {app} {'denies ' * bool(routes)}{why}; {hint}")
    console.print(_sum(findings), soft_wrap=True)
    return 1 if findings.count else 0


def _line(finding: Finding) -> Text:
    clause = (f"[{finding.clause}] ", "bold red") if finding.clause else ""
    where = Text.assemble(" (", (finding.where, "cyan"), ")") if finding.where else ""
    return Text.assemble(clause, (finding.place, "bold"), f": {finding.what}", where)


def _sum(findings: Findings) -> Text:
    count, visits = findings.count, findings.visits
    told = f"{count or 'no'} finding{'s' * (count != 1)} in {visits} visit{'s' * (visits != 1)}"
    text = Text(told, "red" if count else "green")
    for path, status in findings.denied.items():
        hint = "are --path, --header and --subprotocol right?"
        text.append(f"; the handshake of {path} was denied with {status}: {hint}", "yellow")
    if findings.without_lifespan:
        text.append(f"; there was no startup: {relative(findings.without_lifespan)}", "yellow")
    if findings.guarded:
        text.append("; the guard in the app's stack was bypassed", "yellow")
    return text
