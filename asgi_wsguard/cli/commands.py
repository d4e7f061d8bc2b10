"""All commands. Invalid input is reported in one line, with status 2."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from asgi_wsguard import __version__
from asgi_wsguard.cli.names import one_of

COMMANDS = {
    "probe": "Run misbehaving apps on every installed server, without the guard and with it.",
    "check": "Find what your app does wrong with websockets.",
    "compare": "Show what the guard would change for your app, on a real server.",
    "demo": "Serve a page where your browser opens websockets to misbehaving apps, without the guard and with it.",
    "explain": "Explain a clause of the contract, its reason, and what servers do without the guard.",
}
"""The command `name` is the function `name` of the module `asgi_wsguard.cli.name`, loaded when it is called."""

WRONG = 2
INTERRUPTED = 130


class Commands(click.Group):
    """A group that reports invalid input in one line. A command returns its exit status."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Load the command."""
        name = one_of("command", cmd_name, COMMANDS)
        command: click.Command = getattr(import_module(f"asgi_wsguard.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of the commands, without loading them."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def main(self, *args: Any, **more: Any) -> NoReturn:
        """Run the command that the arguments name, and exit."""
        try:
            status = super().main(*args, **{"prog_name": "asgi-wsguard", **more, "standalone_mode": False})
        except click.ClickException as error:
            context = getattr(error, "ctx", None)
            command = context.command_path if context else "asgi-wsguard"
            click.echo(f"{command}: {' '.join(error.format_message().split())}", err=True)
            status = WRONG
        except click.Abort:
            click.echo("asgi-wsguard: interrupted", err=True)
            status = INTERRUPTED
        sys.exit(status)


@click.group("asgi-wsguard", cls=Commands, invoke_without_command=True)
@click.version_option(__version__, message="asgi-wsguard %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Test what ASGI servers, and your own app, do with websockets that do not end well."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
