"""Checks of options. An invalid one raises an error with its name and value."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from typing import Any, Callable

from .rules.messages import MAX_REASON, may_be_sent


def check_type(name: str, value: object, expected: type) -> None:
    """Raise `TypeError` if the value is not of that type."""
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a {expected.__name__}, not {value!r}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise if the value is not one of these words."""
    check_type(name, value, str)
    if value not in choices:
        *most, last = map(repr, choices)
        raise ValueError(f"{name} must be {', '.join(most)} or {last}, not {value!r}")


def timeout(name: str, value: object) -> float:
    """Return the seconds, `inf` for `None`; raise for what is not a number of seconds greater than 0."""
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be more than 0 and finite, not {value!r}")
    return float(value)


def check_seconds(name: str, value: object) -> None:
    """Raise if the value is not a number of seconds, of which 0 is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be at least 0 and finite, not {value!r}")


def check_whole(name: str, value: object, least: int) -> None:
    """Raise if the value is not a whole number, or is less than that."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, not {value!r}")


def check_close(code: object, reason: object) -> None:
    """Raise if a websocket cannot be closed with these."""
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be a whole number, not {code!r}")
    if not may_be_sent(code):
        raise ValueError(f"code must be one of 1000-1003, 1007-1014 or 3000-4999, not {code!r}")
    check_type("reason", reason, str)
    if len(str(reason).encode("utf-8", "replace")) > MAX_REASON:
        raise ValueError(f"reason must be at most {MAX_REASON} bytes of UTF-8, not {reason!r}")


def check_observers(observers: Iterable[Callable[..., Any]]) -> tuple[Callable[..., Any], ...]:
    """Return the observers; raise if one cannot be called, or is a class and not an instance."""
    if not isinstance(observers, Iterable) or isinstance(observers, (str, bytes)):
        raise TypeError(f"observers must be a list of callables, not {observers!r}")
    every = tuple(observers)
    for observer in every:
        if inspect.isclass(observer):
            raise TypeError(f"observers must be instances, not classes: {observer.__name__}(), not {observer!r}")
        if not callable(observer):
            raise TypeError(f"observers must be callables, and {observer!r} is not")
    return every
