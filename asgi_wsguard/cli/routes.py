"""The paths of the user's app to visit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from asgi_wsguard.check.routes import fill, parameters, websocket_routes


def routed(app: Any, values: Mapping[str, str], console: Console) -> tuple[str, ...]:
    """Return the paths of the app's websocket routes; none if its routes are not known.

    Args:
        app: the user's.
        values: those of the routes' parameters.
        console: shows which routes cannot be visited, because a parameter has no value.

    Raises:
        click.UsageError: no route has such a parameter, or none can be visited.
    """
    templates = websocket_routes(app)
    names = {name for template in templates for name in parameters(template)}
    for name in values.keys() - names:
        have = f"there is {', '.join(sorted(names))}" if names else "there is none"
        raise click.UsageError(f"no websocket route of the app has a parameter {name!r}: {have}")
    paths = []
    for template in templates:
        missing = [name for name in parameters(template) if name not in values]
        if missing:
            wanted = " ".join(f"--param {name}=…" for name in missing)
            console.print(Text(f"{template} was not visited: give {wanted}", "yellow"), soft_wrap=True)
        else:
            paths.append(fill(template, values))
    if templates and not paths:
        raise click.UsageError("nothing was visited: give each parameter a value by --param, or name a path by --path")
    return tuple(paths)
