"""Check an app of the user's."""

from __future__ import annotations

import math
import re
from typing import Any

import anyio
import click
from rich.text import Text

from asgi_wsguard.check import in_memory, on_server
from asgi_wsguard.check.findings import Finding, Findings
from asgi_wsguard.check.load import CannotLoad, load
from asgi_wsguard.check.visits import Question
from asgi_wsguard.cli.servers import asked_for
from asgi_wsguard.cli.terminal import terminal
from asgi_wsguard.probe.servers import Server

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A name in HTTP (RFC 9110)."""
VALUE = re.compile(r"[\t -~\x80-\xff]*")
OWN = ("connection", "upgrade", "content-length", "transfer-encoding")
"""Headers that the client sends by itself, besides all that begin with sec-websocket-."""


def _headers(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    pairs = []
    for value in values:
        name, colon, content = value.partition(":")
        if not colon or not TOKEN.fullmatch(name) or not VALUE.fullmatch(content):
            wanted = "NAME:VALUE, such as Origin:https://example.org"
            raise click.BadParameter(f"{value!r} is no header; write {wanted}", ctx, param)
        if name.lower() in OWN or name.lower().startswith("sec-websocket-"):
            hint = "; see --subprotocol" if name.lower().endswith("protocol") else ""
            raise click.BadParameter(f"{name} is a header that the client sends by itself{hint}", ctx, param)
        pairs.append((name, content.strip()))
    return tuple(pairs)


def _token(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if not TOKEN.fullmatch(value):
            raise click.BadParameter(f"{value!r} is no name of a subprotocol", ctx, param)
    return values


def _path(ctx: click.Context, param: click.Parameter, value: str) -> str:
    if not value.startswith("/"):
        raise click.BadParameter(f"{value!r} does not begin with a slash, as in /ws?room=1", ctx, param)
    return value


def _seconds(ctx: click.Context, param: click.Parameter, value: float) -> float:
    if not 0 < value < math.inf:
        raise click.BadParameter(f"{value:g} is no number of seconds that can pass", ctx, param)
    return value


def _servers(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> list[Server]:
    return [server for server in asked_for(names) if not server.missing()] if names else []


@click.command()
@click.argument("app", metavar="MODULE:APP")
@click.option("--path", default="/", show_default=True, callback=_path, help="What the clients ask for.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="NAME:VALUE",
    callback=_headers,
    help="A header that they send. Repeatable.",
)
@click.option("--subprotocol", "subprotocols", multiple=True, callback=_token, help="One that they offer. Repeatable.")
@click.option("--send", "messages", multiple=True, metavar="TEXT", help="A message that they send. Repeatable.")
@click.option(
    "--timeout",
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    callback=_seconds,
    help="What the app has to answer, to take a message, and to end.",
)
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="NAME",
    callback=_servers,
    help="A server to visit it on, too, such as daphne; uvicorn is all of uvicorn-*. Repeatable.",
)
@click.option("--factory", is_flag=True, help="MODULE:APP is a function that makes the app.")
def check(app: str, servers: list[Server], timeout: float, factory: bool, **asked: Any) -> int:
    """Find what your app does wrong with websockets.

    Clients visit MODULE:APP in memory: one that closes, one that is gone before the answer, one that vanishes, one that
    does not read. Each thing that the app does wrong is told in one line, with the clause of the contract and the file
    and line. The exit status is 1 if there is one, and 2 if there is no app to check.
    """
    console = terminal()
    findings = Findings(lambda finding: console.print(_line(finding), soft_wrap=True))
    question = Question(timeout=timeout, **asked)
    try:
        loaded = load(app, factory=factory)
    except CannotLoad as error:
        raise click.UsageError(str(error)) from error
    # An app that is for trio is checked on a trio server, if on any.
    on_trio = bool(servers) and all(server.name.endswith("-trio") for server in servers)
    if anyio.run(in_memory.check, loaded, question, findings, backend="trio" if on_trio else "asyncio"):
        for server in servers:
            on_server.check(server, app, factory=factory, question=question, findings=findings)
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
    if findings.denied is not None:
        text.append(
            f"; the handshake was denied with {findings.denied}: are --path, --header and --subprotocol right?",
            "yellow",
        )
    if findings.guarded:
        text.append("; the guard in the app's stack stood aside", "yellow")
    return text
