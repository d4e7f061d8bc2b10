"""What knows another library. Each module here is imported only where its library already is."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..lifecycle import Verdict


def verdict(exc: BaseException, *, accepted: bool) -> Verdict | None:
    """Return the answer that an exception asks for by itself, or `None` for a crash."""
    if "starlette.exceptions" not in sys.modules:
        return None
    from . import starlette

    return starlette.verdict(exc, accepted=accepted)


def is_disconnect(exc: BaseException) -> bool:
    """Tell whether an exception only says that the client has left."""
    if "starlette.websockets" not in sys.modules:
        return False
    from . import starlette

    return starlette.is_disconnect(exc)


def route(app: object, path: str) -> str:
    """Return the template of the path for an app whose framework keeps its route to itself."""
    if "channels.routing" not in sys.modules:
        return ""
    from . import channels

    return channels.route(app, path)
