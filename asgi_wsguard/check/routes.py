"""The websocket routes of an app, found in its framework's objects.

A framework is recognized by the attributes of its objects, so that none has to be imported.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from asgi_wsguard.check import templates
from asgi_wsguard.integrations import blacksheep

# The attributes in which middleware, test clients and servers keep the app that they wrap.
WRAPPED = ("app", "inner", "application", "_app", "asgi_app", "other_asgi_app")
HTTP_ONLY = ("StaticFiles", "WSGIMiddleware", "WsgiToAsgi", "ASGIHandler")
"""Apps without websockets that are often mounted: those of Starlette, a2wsgi, asgiref and Django."""
DEEPEST = 20


@dataclass(frozen=True)
class Route:
    """A websocket route.

    Attributes:
        path: the template of its path, such as ``/ws/{room}``.
        host: the template of the host that has it; empty for any host.
        opaque: an app is mounted at the path, and its routes are unknown.
    """

    path: str
    host: str = ""
    opaque: bool = False

    def __str__(self) -> str:
        return self.host + self.path

    @property
    def parameters(self) -> list[str]:
        """The names of the parameters in the host and the path."""
        return templates.parameters(str(self))

    def filled(self, values: Mapping[str, str]) -> Route:
        """Return the route with values in place of its parameters; see `templates.fill`."""
        return replace(self, path=templates.fill(self.path, values), host=templates.fill(self.host, values))


def websocket_routes(app: Any) -> list[Route]:
    """Return the app's websocket routes, in order.

    It knows the routes of Starlette and FastAPI, with what is mounted and included, Litestar, Quart, Channels, Falcon,
    BlackSheep and python-socketio, also inside middleware. For any other app it returns none.
    """
    search = _Search()
    search.look(app, _Place())
    return list(search.found)


@dataclass(frozen=True)
class _Place:
    """Where in the app the search is.

    Attributes:
        prefix: the template of the path at which the object is mounted.
        host: the template of its host.
        around: the ids of the objects around it.
    """

    prefix: str = ""
    host: str = ""
    around: tuple[int, ...] = ()

    def under(self, path: str) -> _Place:
        return replace(self, prefix=self.prefix + path)


class _Search:
    """A search for routes.

    Attributes:
        found: the routes, in order.
    """

    def __init__(self) -> None:
        self.found: dict[Route, None] = {}
        self._seen: dict[tuple[int, str, str], Any] = {}  # with the objects, so that no id is reused

    def look(self, app: Any, at: _Place) -> bool:
        """Look into an object; return whether it is, or wraps, an app of a known framework."""
        app = app.__self__ if inspect.ismethod(app) else app
        key = (id(app), at.prefix, at.host)
        if isinstance(app, (type, ModuleType)) or key in self._seen or id(app) in at.around:
            return False
        self._seen[key] = app
        inside = replace(at, around=(*at.around, id(app)))
        if app is None or len(inside.around) > DEEPEST:
            return False
        try:
            return self._of_framework(app, inside) or self._in_wrapper(app, inside)
        except Exception:  # a foreign object may raise anything when its attributes are read
            return False

    def _add(self, path: str, at: _Place) -> None:
        self.found[Route(at.prefix + path, at.host)] = None

    def _in_wrapper(self, app: Any, at: _Place) -> bool:
        known = [self.look(inner, at) for inner in _wrapped(app, mounted=bool(at.prefix or at.host))]
        return any(known)

    def _mounted(self, app: Any, at: _Place) -> None:
        http_only = any(base.__name__ in HTTP_ONLY for base in type(app).__mro__)
        if not self.look(app, at) and not http_only:
            self.found[Route(at.prefix or "/", at.host, opaque=True)] = None

    def _of_framework(self, app: Any, at: _Place) -> bool:
        mapping = getattr(app, "application_mapping", None)  # of Channels' ProtocolTypeRouter
        if isinstance(mapping, Mapping):
            return "websocket" not in mapping or self.look(mapping["websocket"], at)
        routes = getattr(app, "routes", None)
        if isinstance(routes, Iterable) and not isinstance(routes, (str, bytes, Mapping)):
            for route in routes:
                self._of_route(route, at)
        elif hasattr(app, "url_map"):  # of Quart
            for rule in app.url_map.iter_rules():
                if getattr(rule, "websocket", False):
                    self._add(templates.of_angles(rule.rule), at)
        elif hasattr(getattr(app, "_router", None), "_roots"):  # of Falcon
            for template in _of_falcon(app._router._roots):
                self._add(templates.of_braces(template), at)
        elif hasattr(getattr(app, "router", None), "registered_routes"):
            self._of_blacksheep(app, at)
        elif hasattr(app, "engineio_path"):
            self._of_socketio(app, at)
        else:
            return False
        return True

    def _of_route(self, route: Any, at: _Place) -> None:
        if hasattr(route, "pattern") and hasattr(route, "callback"):  # Django's, in Channels' URLRouter
            self._of_django(route, at)
        elif hasattr(route, "original_router"):  # FastAPI's included router
            self._of_framework(route.original_router, at.under(getattr(route.include_context, "prefix", "")))
        elif hasattr(route, "path_format") and hasattr(route, "endpoint"):
            if not hasattr(route, "methods"):  # not of HTTP
                self._add(templates.of_braces(route.path), at)
        elif type(route).__name__ == "WebSocketRoute":  # Litestar's
            self._add(templates.of_braces(route.path), at)
        elif type(route).__name__ == "ASGIRoute":  # Litestar's
            self._mounted(route.route_handler.fn, at.under(route.path.rstrip("/")))
        elif hasattr(route, "host") and hasattr(route, "app"):  # Starlette's Host
            self._mounted(route.app, replace(at, host=templates.of_braces(route.host)))
        elif hasattr(route, "path") and hasattr(route, "app"):  # Starlette's Mount
            self._mounted(route.app, at.under(templates.of_braces(route.path)))

    def _of_django(self, route: Any, at: _Place) -> None:
        text = str(route.pattern)
        text = templates.of_regex(text) if hasattr(route.pattern, "_regex") else templates.of_angles(text)
        template = f"{at.prefix.rstrip('/')}/{text.lstrip('/')}"
        here = replace(at, prefix=template)
        # A function is an endpoint, such as one of Channels' consumers.
        if inspect.isfunction(route.callback) or not self.look(route.callback, here):
            self._add("", here)

    def _of_blacksheep(self, app: Any, at: _Place) -> None:
        for pattern in blacksheep.patterns(app.router):
            self._add(templates.of_blacksheep(pattern), at)
        for mount in app.mount_registry.mounted_apps:
            path = mount.pattern.decode().removesuffix("*").rstrip("/")
            self._mounted(mount.handler, at.under(templates.of_blacksheep(path)))

    def _of_socketio(self, app: Any, at: _Place) -> None:
        # If mounted, it compares the whole path, or with Starlette before 0.33 only the rest of it.
        path = app.engineio_path or "/"  # `None` for any path
        here = replace(at, prefix="") if path.startswith(f"{at.prefix}/") else at
        self._add(f"{path}?EIO=4&transport=websocket", here)
        self.look(app.other_asgi_app, at)


def _wrapped(app: Any, *, mounted: bool) -> Iterator[Any]:
    """Yield what a wrapper may call: the objects in its attributes, arguments, closure or global variables."""
    if isinstance(app, functools.partial):
        yield from (app.func, *app.args, *app.keywords.values())
    elif inspect.isfunction(app):
        variables = inspect.getclosurevars(app)
        yield from vars(app).values()
        yield from variables.nonlocals.values()
        if not mounted:  # a mounted function may refer to the app that it is mounted in, or to another one
            yield from (one for one in variables.globals.values() if callable(one) and not inspect.isfunction(one))
    else:
        yield from (getattr(app, name, None) for name in WRAPPED)
        yield from (value for value in getattr(app, "__dict__", {}).values() if callable(value))


def _of_falcon(nodes: Iterable[Any]) -> Iterator[str]:
    for node in nodes:
        if node.uri_template is not None and hasattr(node.resource, "on_websocket"):
            yield node.uri_template
        yield from _of_falcon(node.children)
