"""The apps that are played, a module for each framework or family."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from importlib import import_module

from harmless.model import App

MODULES = (
    "ariadne_",
    "asgi",
    "asgi_ends",
    "blacksheep_",
    "channels_generic",
    "channels_ends",
    "falcon_",
    "fastapi_",
    "litestar_",
    "litestar_listeners",
    "nicegui_",
    "quart_",
    "shapes",
    "socketio_",
    "starlette_ends",
    "strawberry_",
    "testclient_",
)


@functools.cache
def apps(modules: tuple[str, ...] = MODULES) -> tuple[App, ...]:
    """Return all of them, or those of some modules. Importing every framework takes a server four seconds."""
    return tuple(app for module in modules for app in import_module(f"harmless.apps.{module}").APPS)


def modules_of(chosen: Iterable[App]) -> list[str]:
    """Return the modules that these are in."""
    names = {app.name for app in chosen}
    return [module for module in MODULES if names & {app.name for app in apps((module,))}]
