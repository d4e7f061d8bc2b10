"""The pytest plugin: a fixture, and a watch for faults of websocket apps in a test. It is idle until used.

pytest loads it automatically. It works with any plugin for async tests, and with pytest-xdist.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from asgi_wsguard.testing import WebSocketSession
    from asgi_wsguard.testing.watch import Watch

MARK = "asgi_wsguard"
STRICT = "asgi_wsguard_strict"
WATCH: pytest.StashKey[Watch] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the ini option."""
    parser.addini(STRICT, "fail each test in which an app behind the guard broke the contract", "bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Add the marker."""
    config.addinivalue_line(
        "markers",
        f"{MARK}(strict=True): fail the test when an app behind WebSocketGuardMiddleware broke the contract or left a"
        f" task behind, or when a task was destroyed while it was pending; strict=False undoes the option {STRICT}",
    )


@pytest.fixture
def websocket_session() -> type[WebSocketSession]:
    """Return `WebSocketSession`, to be called with an app and a path."""
    from asgi_wsguard.testing import WebSocketSession

    return WebSocketSession


def _is_strict(item: pytest.Item) -> bool:
    mark = item.get_closest_marker(MARK)
    return bool(item.config.getini(STRICT) if mark is None else mark.kwargs.get("strict", True))


# pluggy's older kind of wrapper works with every release of pytest that a project may use.
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Watch a test, from its setup to its teardown."""
    if not _is_strict(item):
        yield
        return
    from asgi_wsguard.testing.watch import Watch

    watch = item.stash[WATCH] = Watch()
    watch.begin()
    try:
        yield
    finally:
        watch.end()


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail the test for faults up to its end."""
    outcome: Any = yield
    _judge(item, "call", outcome)


@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Fail the teardown for faults since then."""
    outcome: Any = yield
    _judge(item, "teardown", outcome)


def _judge(item: pytest.Item, when: str, outcome: Any) -> None:
    watch = item.stash.get(WATCH, None)
    found = watch.take() if watch is not None else ""
    if not found:
        return
    if outcome.excinfo is None:
        outcome.force_exception(pytest.fail.Exception(f"websocket apps broke the contract:\n{found}", pytrace=False))
    else:  # the test has failed for another reason, or is skipped
        item.add_report_section(when, "asgi_wsguard", found)
