"""The route of a websocket: the template of its path, so that a label of a metric has few values."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from .. import integrations
from ..messages import Message


def route_of(scope: Message, path: str, app: object) -> str:
    """Return the template of the path, such as ``/rooms/{room}``, or an empty string where no framework tells it.

    Args:
        scope: the scope, when the framework has found its route.
        path: the path as it was before; some frameworks shorten it in the scope.
        app: the app, for frameworks that do not write into the scope.
    """
    try:
        return _route_of(scope, path, app)
    except Exception:  # what is in the scope is anybody's, and must not break the end of a connection
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
    """Starlette, and so FastAPI. Older Starlettes tell the endpoint, but not the route."""
    root, before = str(scope.get("root_path") or ""), str(scope.get("app_root_path") or "")
    mounted = _template(root[len(before) :], params)
    route, endpoint = scope.get("route"), scope["endpoint"]
    template = getattr(route, "path_format", None)
    if template is not None and not hasattr(route, "routes"):
        return mounted + str(template)
    if route is None and (inspect.isroutine(endpoint) or inspect.isclass(endpoint)):
        return _template(path, params)
    return f"{mounted}/{{path}}"  # an app is mounted here, which may take any path


def _template(path: str, params: Mapping[str, Any]) -> str:
    """Put the names of the parameters where their values are in the path."""
    path = f"/{path}/"  # so that whole parts are between slashes; a pattern for each value would fill re's cache
    for name, value in params.items():
        path = path.replace(f"/{value}/", f"/{{{name}}}/", 1)
    return path[1:-1]
