"""The routes of the user's app to visit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from asgi_wsguard.check.routes import Route, websocket_routes


def routed(app: Any, values: Mapping[str, str], console: Console) -> tuple[Route, ...]:
    """Return the app's websocket routes, with the values of their parameters; none if its routes are not known.

    Args:
        app: the user's app.
        values: the values of the routes' parameters.
        console: shows what cannot be visited: routes with a parameter that has no value, and mounted apps whose routes
            are not known.

    Raises:
        click.UsageError: no route has such a parameter, a value does not fit, or no route can be visited.
    """
    found = websocket_routes(app)
    routes = [route for route in found if not route.opaque]
    names = {name for route in found for name in route.parameters}
    for name in values.keys() - names:
        have = f"there is {', '.join(sorted(names))}" if names else "there is none"
        raise click.UsageError(f"no websocket route of the app has a parameter {name!r}: {have}")
    visited = []
    for route in found:
        missing = [name for name in route.parameters if name not in values]
        if route.opaque:
            _show(console, f"could not look into the app mounted at {route}: name its paths by --path")
        elif missing:
            wanted = " ".join(f"--param {name}=…" for name in missing)
            _show(console, f"{route} was not visited: give {wanted}")
        else:
            visited.append(_filled(route, values))
    if routes and not visited:
        raise click.UsageError("nothing was visited: give each parameter a value by --param, or name a path by --path")
    return tuple(visited)


def _filled(route: Route, values: Mapping[str, str]) -> Route:
    try:
        return route.filled(values)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _show(console: Console, line: str) -> None:
    console.print(Text(line, "yellow"), soft_wrap=True)
