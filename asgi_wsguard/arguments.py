"""Checks of options. What is wrong raises, naming the option and the value."""

from __future__ import annotations

import math

from .messages import MAX_REASON, may_be_sent


def check_type(name: str, value: object, expected: type) -> None:
    """Raise `TypeError` if the value is not of that type."""
    if not isinstance(value, expected):
        raise TypeError(f"{name} must be a {expected.__name__}, not {value!r}")


def timeout(name: str, value: object) -> float:
    """Return the seconds, `inf` for `None`; raise for what is no number of seconds more than 0."""
    if value is None:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds or None, not {value!r}")
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be more than 0 and finite, not {value!r}")
    return float(value)


def check_seconds(name: str, value: object) -> None:
    """Raise if the value is no number of seconds; 0 is one."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number of seconds, not {value!r}")
    if not (value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name} must be at least 0 and finite, not {value!r}")


def check_whole(name: str, value: object, least: int) -> None:
    """Raise if the value is no whole number, or less than that."""
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
