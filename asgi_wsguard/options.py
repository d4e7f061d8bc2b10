"""The options of the middleware, checked once, when it is created."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, get_args

from .arguments import check_choice, check_type, check_whole, timeout
from .observers import Observers
from .rules.deadlines import Limits
from .rules.denial import DenialResponse
from .rules.lifecycle import Policy

if TYPE_CHECKING:
    from .drain import Drainer

WithoutExtension = Literal["auto", "close", "raise"]
SendAfterEnd = Literal["spec", "raise", "drop"]

# The release of the ASGI specification since which a send() after the end raises an OSError.
RAISES_SINCE = (2, 4)


class Seats:
    """The number of connections that a middleware has, and its limit."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.taken = 0

    @property
    def full(self) -> bool:
        """Whether the limit is reached."""
        return self.taken == self.limit


@dataclass(frozen=True)
class Options:
    """The app and the options of one `WebSocketGuardMiddleware`, which describes them."""

    app: Any
    strict: bool = False
    denial: DenialResponse = field(default_factory=DenialResponse)
    without_extension: WithoutExtension = "auto"
    send_after_end: SendAfterEnd = "spec"
    handshake_timeout: float | None = 30.0
    exit_timeout: float | None = 60.0
    cleanup_timeout: float | None = None
    close_timeout: float | None = 5.0
    idle_timeout: float | None = None
    max_lifetime: float | None = None
    send_timeout: float | None = None
    max_connections: int | None = None
    observers: Observers = field(default_factory=Observers)
    drainer: Drainer | None = None
    limits: Limits = field(init=False)
    policy: Policy = field(init=False)
    seats: Seats = field(init=False)
    may_refuse: bool = field(init=False)

    def __post_init__(self) -> None:
        check_type("strict", self.strict, bool)
        check_type("denial", self.denial, DenialResponse)
        check_choice("without_extension", self.without_extension, get_args(WithoutExtension))
        check_choice("send_after_end", self.send_after_end, get_args(SendAfterEnd))
        limits = {one.name: timeout(one.name, getattr(self, one.name)) for one in fields(Limits) if one.init}
        object.__setattr__(self, "limits", Limits(**limits))
        object.__setattr__(self, "policy", Policy(self.denial, self.strict))
        if self.max_connections is not None:
            check_whole("max_connections", self.max_connections, 1)
        object.__setattr__(self, "seats", Seats(self.max_connections))
        object.__setattr__(self, "may_refuse", self.max_connections is not None or self.drainer is not None)
        if self.drainer is not None:
            from .drain import Drainer  # not loaded before, unless it is used

            check_type("drainer", self.drainer, Drainer)

    def drops_after_end(self, scope: Mapping[str, Any]) -> bool:
        """Return whether a `send()` after the end of the connection is discarded (O7); otherwise it raises."""
        if self.send_after_end == "spec":
            return not self.strict and not raises_after_end(scope)
        return self.send_after_end == "drop"


def raises_after_end(scope: Mapping[str, Any]) -> bool:
    """Return whether the server of this scope promises that a `send()` after the end raises."""
    try:
        return _release(scope["asgi"]["spec_version"]) >= RAISES_SINCE
    except (KeyError, TypeError):  # a test client's scope, for example
        return False


@lru_cache(maxsize=16)
def _release(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(".")))
    except (AttributeError, ValueError):
        return ()
