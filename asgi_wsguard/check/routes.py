"""The websocket routes of an app, found in its framework's objects, and their parameters.

A framework is recognized by the attributes of its objects, so that none has to be imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

PARAMETER = re.compile(r"\{(\w+)[^{}]*\}")
CONVERTED = re.compile(r"<(?:[^<>]*:)?(\w+)>")
"""A parameter of Django and of Werkzeug, such as ``<int:room>``."""
NAMED_GROUP = re.compile(r"\(\?P<(\w+)>(?:[^()\\]|\\.|\([^()]*\))*\)")
OPTIONAL_SLASH = re.compile(r"/\?$")
ANY_PATH = "{path}"
IN_A_REGEX_ONLY = re.compile(r"[\\^$.|?*+()\[\]]")
# The attributes in which middleware, test clients and servers keep the app that they wrap.
WRAPPED = ("app", "inner", "application", "_app", "asgi_app", "other_asgi_app")
DEEPEST = 20


def websocket_routes(app: Any) -> list[str]:
    """Return the templates of the app's websocket routes, such as ``/ws/{room}``, in order.

    Those of Starlette and FastAPI, with what is mounted and included, Litestar, Quart, Channels, Falcon and
    python-socketio are found, also inside middlewares. What keeps its routes elsewhere has none.
    """
    return list(dict.fromkeys(_routes(app, "", DEEPEST)))


def parameters(template: str) -> list[str]:
    """Return the names of the parameters in a template."""
    return PARAMETER.findall(template)


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the path, with the values in place of the parameters. All values must be given."""
    return PARAMETER.sub(lambda found: values[found[1]], template)


def _routes(app: Any, prefix: str, depth: int) -> Iterator[str]:
    if depth == 0:
        return
    mapping = getattr(app, "application_mapping", None)  # of Channels' ProtocolTypeRouter
    if isinstance(mapping, Mapping):
        yield from _routes(mapping.get("websocket"), prefix, depth - 1)
        return
    found = list(_of_framework(app, prefix, depth))
    yield from found
    for name in WRAPPED:
        inner = getattr(app, name, None)
        if inner is not None and inner is not app and (not found or name == "other_asgi_app"):
            yield from _routes(getattr(inner, "__self__", inner), prefix, depth - 1)


def _of_framework(app: Any, prefix: str, depth: int) -> Iterator[str]:
    routes = getattr(app, "routes", None)
    if isinstance(routes, Iterable) and not isinstance(routes, (str, bytes, Mapping)):
        for route in routes:
            yield from _of_route(route, prefix, depth - 1)
    elif hasattr(app, "url_map"):
        rules = [rule for rule in app.url_map.iter_rules() if getattr(rule, "websocket", False)]  # of Quart
        yield from (prefix + CONVERTED.sub(r"{\1}", rule.rule) for rule in rules)
    elif hasattr(getattr(app, "_router", None), "_roots"):  # of Falcon
        yield from (prefix + template for template in _of_falcon(app._router._roots))
    if hasattr(app, "engineio_path"):
        # Where it is mounted, it compares the whole path, or the rest of it, by Starlette's release.
        inside = app.engineio_path.startswith(f"{prefix}/")
        yield f"{'' if inside else prefix}{app.engineio_path}?EIO=4&transport=websocket"


def _of_route(route: Any, prefix: str, depth: int) -> Iterator[str]:
    if hasattr(route, "pattern") and hasattr(route, "callback"):  # Django's, in Channels' URLRouter
        yield from _of_django(route, prefix, depth)
    elif hasattr(route, "original_router"):  # an included router of FastAPI's
        included = prefix + getattr(route.include_context, "prefix", "")
        yield from _of_framework(route.original_router, included, depth)
    elif hasattr(route, "path_format") and hasattr(route, "endpoint"):
        if not hasattr(route, "methods"):  # not of HTTP
            yield prefix + route.path_format
    elif type(route).__name__ == "WebSocketRoute":  # Litestar's
        yield prefix + str(route.path_format)
    elif hasattr(route, "app"):  # mounted, or of a host
        mounted = getattr(route, "path", "")
        yield from _routes(route.app, prefix + PARAMETER.sub(r"{\1}", mounted), depth)


def _of_django(route: Any, prefix: str, depth: int) -> Iterator[str]:
    text = str(route.pattern)
    if hasattr(route.pattern, "_regex"):
        text = NAMED_GROUP.sub(r"{\1}", text.lstrip("^"))
        text = OPTIONAL_SLASH.sub("/", text.removesuffix("$"))
        if IN_A_REGEX_ONLY.search(text):
            text = ANY_PATH  # a pattern that does not define a path
    template = (prefix.rstrip("/") + "/" if prefix else "/") + CONVERTED.sub(r"{\1}", text).lstrip("/")
    inner = list(_routes(route.callback, template, depth)) if hasattr(route.callback, "routes") else []
    yield from inner or [template]


def _of_falcon(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        if node.uri_template is not None and hasattr(node.resource, "on_websocket"):
            yield node.uri_template
        yield from _of_falcon(node.children)
