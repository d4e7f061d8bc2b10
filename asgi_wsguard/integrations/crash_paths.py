"""The servers whose own crash path answers the handshake, so that an app's crash can be left to it."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import partial
from typing import Any

# The modules that define their `send`. These servers answer 500 and leave nothing behind (docs/compatibility.md):
# daphne in every release since 3.0.2, and gunicorn's ASGI worker since 27.0.0. Older releases of gunicorn answer no
# denial either. Falcon's test client raises the app's own exception in the test.
SOUND = ("daphne.", "gunicorn.asgi.", "falcon.testing.")
# How many wrappers of the server's `send` are looked through.
LAYERS = 20


def crash_path_is_sound(send: object) -> bool:
    """Return whether the server of this `send` answers the handshake with 500 if the app raises.

    If that is not known, return `False`. Wrappers of the server's `send` are looked through.
    """
    try:
        return any(_module(layer).startswith(SOUND) for layer in _layers(send))
    except Exception:  # a foreign object may do anything when it is inspected
        return False


def _module(function: Any) -> str:
    return f"{getattr(function, '__module__', None) or ''}."


def _layers(send: Any) -> Iterator[Any]:
    """Yield the parts of `send`: methods and the objects they are bound to, partials, and closures."""
    found, seen = [send], {id(send)}
    for layer in found:
        yield layer
        for inner in _inside(layer):
            if callable(inner) and id(inner) not in seen and len(found) < LAYERS:
                seen.add(id(inner))
                found.append(inner)


def _inside(layer: Any) -> Iterator[Any]:
    if isinstance(layer, partial):
        yield layer.func
    elif isinstance(layer, types.MethodType):
        yield layer.__func__
        attributes = getattr(layer.__self__, "__dict__", {})
        yield from (attributes[name] for name in ("send", "_send") if name in attributes)
    elif isinstance(layer, types.FunctionType):
        for cell in layer.__closure__ or ():
            try:
                yield cell.cell_contents
            except ValueError:  # not set yet
                continue
    else:
        yield from (value for name, value in vars(layer).items() if name in ("send", "_send"))
