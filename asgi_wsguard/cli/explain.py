"""Explain a clause of the contract."""

from __future__ import annotations

import click


@click.command()
@click.argument("clause", required=False)
def explain(clause: str | None) -> int:
    """Say what CLAUSE (such as H4) is, why, and what servers do without the guard."""
    click.echo(clause)
    return 0
