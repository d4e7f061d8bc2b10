"""All the commands."""

from __future__ import annotations

import click


@click.group()
def commands() -> None:
    """See what ASGI servers and your app do with websockets that do not end well."""
