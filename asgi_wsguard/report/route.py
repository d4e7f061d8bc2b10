"""The route of a websocket: the template of its path, so that a metric's label has few values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .. import integrations
from ..rules.messages import Message


def route_of(scope: Message, path: str, app: object) -> str:
    """Return the template of the path, such as ``/rooms/{room}``, or an empty string if no framework tells it.

    Args:
        scope: the scope, when the framework has found its route.
        path: the path as it was before; some frameworks shorten it in the scope.
        app: the app, for frameworks that do not write into the scope.
    """
    try:
        return _route_of(scope, path, app)
    except KeyboardInterrupt:
        raise
    except BaseException:  # foreign objects in the scope must not break the end of a connection
        return ""


def _route_of(scope: Message, path: str, app: object) -> str:
    if "path_template" in scope:  # Litestar
        return str(scope["path_template"])
    params = scope.get("path_params") or (scope.get("url_route") or {}).get("kwargs") or {}
    if "url_route" in scope:  # Channels, around a consumer
        return _template(path, params)
    if "endpoint" in scope:
        return _starlette(scope, path, params)
    return integrations.route(app, path)


def _starlette(scope: Message, path: str, params: Mapping[str, Any]) -> str:
    """Return the template for Starlette and FastAPI. Older releases tell the endpoint, but not the route."""
    root, before = str(scope.get("root_path") or ""), str(scope.get("app_root_path") or "")
    route, endpoint = scope.get("route"), scope["endpoint"]
    template = getattr(route, "path_format", None)
    if template is None or hasattr(route, "routes"):
        if route is None and (inspect.isroutine(endpoint) or inspect.isclass(endpoint)):
            return _template(path, params)
        template = "/{path}"  # an app is mounted here, which may take any path
    prefix = root[len(before) :]
    of_mount = {name: value for name, value in params.items() if f"{{{name}}}" not in template}
    mounted = _template(prefix, of_mount)
    return f"{mounted}{template}" if mounted or not prefix else ""


def _template(path: str, params: Mapping[str, Any]) -> str:
    """Replace the values of the parameters in the path by their names; return an empty string if one is not found.

    A path with a value left in it is no template, and would make a route of each.
    """
    parts = path.split("/")
    for name, value in params.items():
        found = _found(parts, value)
        if found is None:
            return ""
        parts[found] = [f"{{{name}}}"]
    return "/".join(parts)


def _found(parts: list[str], value: Any) -> slice | None:
    """Return the parts that are the value, which a framework may have converted from text."""
    text = str(value).split("/")
    for start in range(len(parts) - len(text) + 1):
        here = slice(start, start + len(text))
        if parts[here] == text or (len(text) == 1 and _is_made_of(parts[start], value)):
            return here
    return None


def _is_made_of(part: str, value: Any) -> bool:
    """Return whether a converter may have made the value from this part, as a number from ``007``."""
    if isinstance(value, str):
        return False
    try:
        return bool(type(value)(part) == value)
    except Exception:
        return False
