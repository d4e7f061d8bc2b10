"""BlackSheep (2.6.4): the scope does not have the route, so it is looked up again."""

from __future__ import annotations

from typing import Any

DEEPEST = 20
"""How many middlewares around the app are looked into."""
WEBSOCKET = "GET_WS"
"""BlackSheep's name for the method of a handshake."""


def route(app: Any, path: str) -> str:
    """Return the pattern of the path in the app's router; empty if there is none."""
    for _ in range(DEEPEST):
        look_up = getattr(getattr(app, "router", None), "get_match_by_method_and_path", None)
        if look_up is not None:
            match = look_up(WEBSOCKET, path)
            return "" if match is None or match.pattern is None else f"/{match.pattern.decode().lstrip('/')}"
        app = getattr(app, "app", None)
    return ""


def patterns(router: Any) -> list[str]:
    """Return the patterns of a router's websocket routes. Those of controllers are known once the app has started.

    Those of its sub-routers are left out: BlackSheep 2.6.4 finds none of them.
    """
    # A route is registered first, and moves into `routes` when the app starts.
    routes = [route for method, route in router.registered_routes if method == WEBSOCKET]
    routes += router.routes.get(WEBSOCKET.encode(), ())
    return [f"/{route.pattern.decode().lstrip('/')}" for route in routes]
