"""Django Channels: its routers pass copies of the scope to the app, so the route is looked up again."""

from __future__ import annotations

from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter


def route(app: Any, path: str) -> str:
    """Return the pattern of the path in the `URLRouter` inside the app; empty if there is none."""
    router = _router(app)
    template = ""
    while router is not None:
        rest = path.lstrip("/")
        for candidate in router.routes:
            match = candidate.pattern.match(rest)
            if match:
                template += f"/{str(candidate.pattern).lstrip('/')}" if not template else str(candidate.pattern)
                path, router = match[0], _router(candidate.callback)
                break
        else:
            return ""
    return template


def _router(app: Any) -> Any:
    """Return the `URLRouter` inside the middleware around it."""
    while not isinstance(app, URLRouter):
        if isinstance(app, ProtocolTypeRouter):
            app = app.application_mapping.get("websocket")
        else:
            app = getattr(app, "inner", None) or getattr(app, "application", None) or getattr(app, "app", None)
        if app is None:
            return None
    return app
