"""The import of the app that ``module:app`` names."""

from __future__ import annotations

import inspect
import os
import sys
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType
from typing import Any

from asgiref.compatibility import guarantee_single_callable

from asgi_wsguard.check.findings import relative
from asgi_wsguard.report import lines
from asgi_wsguard.testing.failures import in_a_line


class CannotLoad(Exception):
    """There is no app to check. The text is one line for the user, with the likely fix."""


def load(target: str, *, factory: bool) -> Any:
    """Import an app, also from the working directory.

    Args:
        target: ``module:app``, as for a server; the app may be an attribute of an attribute.
        factory: call the target to get the app. A function without parameters is called anyway.

    Raises:
        CannotLoad: there is no such module or attribute, or it is not an app.
    """
    name, _, attribute = target.partition(":")
    if not _dotted(name) or not attribute:
        raise CannotLoad(f"{target!r} does not name an app; write module:app, such as {_dotted(name) or 'main'}:app")
    app = _attribute(_module(name, attribute), attribute)
    if factory or _takes(app, 0):
        app = _made(app, target)
        target = f"{target}()"
    if _takes(app, 3):
        return app
    if _takes(app, 1):  # ASGI 2
        return guarantee_single_callable(app)  # type: ignore[no-untyped-call]
    kind = type(app).__name__
    raise CannotLoad(f"{target} is not an ASGI app: this {kind} cannot be called with scope, receive and send")


def _module(name: str, attribute: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    if _dotted(name) != name:
        raise CannotLoad(f"{name!r} is a file, not a module; did you mean {_dotted(name)}:{attribute}?")
    try:
        return import_module(name)
    except (Exception, SystemExit) as exc:
        if isinstance(exc, ModuleNotFoundError) and f"{name}.".startswith(f"{exc.name}."):
            hint = "is that its name, and is this the folder to run in?"
            raise CannotLoad(f"there is no module {exc.name!r}, in {folder} or installed; {hint}") from exc
        missing = _environments() if isinstance(exc, ModuleNotFoundError) else ""
        raise CannotLoad(f"{name} cannot be imported: {_told(exc)}{missing}") from exc


def _environments() -> str:
    """Return where to install a missing module. With pipx and uvx, the command has its own environment."""
    apps = os.environ.get("VIRTUAL_ENV") or os.path.join(os.getcwd(), ".venv")
    if os.path.isdir(apps) and not os.path.samefile(apps, sys.prefix):
        fix = f"if the app's is {apps}, install 'asgi-wsguard[cli]' there"
    else:
        fix = "is it installed there?"
    return f"; asgi-wsguard runs in the environment {sys.prefix}: {fix}"


def _attribute(module: ModuleType, path: str) -> Any:
    found: Any = module
    for name in path.split("."):
        if not hasattr(found, name):
            near = get_close_matches(name, vars(found)) or [one for one in vars(found) if _takes(vars(found)[one], 3)]
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise CannotLoad(f"{module.__name__} has no {path!r}{hint}")
        found = getattr(found, name)
    return found


def _made(factory: Any, target: str) -> Any:
    if not _takes(factory, 0):
        raise CannotLoad(f"{target} is not a factory: it cannot be called without arguments; leave out --factory")
    try:
        made = factory()
    except (Exception, SystemExit) as exc:
        raise CannotLoad(f"the factory {target} raised {_told(exc)}") from exc
    if inspect.iscoroutine(made):
        made.close()
        raise CannotLoad(f"the factory {target} is async, which no server supports; make it a plain function")
    return made


def _takes(app: Any, arguments: int) -> bool:
    """Return whether it can be called with this many arguments."""
    try:
        inspect.signature(app).bind(*[None] * arguments)
    except (TypeError, ValueError):
        return False
    return True


def _told(exc: BaseException) -> str:
    where = lines.of_exception(exc)
    return in_a_line(exc) + (f" ({relative(where)})" if where else "")


def _dotted(name: str) -> str:
    """Return the name of a file's module."""
    return name.removesuffix(".py").replace(os.sep, ".").strip(".")
