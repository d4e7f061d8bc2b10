"""Each module has the demo and a browser of its own, and each test a new page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from in_chromium import Served, served
from playwright.sync_api import Browser, Page

from harness.browser import browser as browser

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def demo() -> Iterator[Served]:
    with served() as running:
        yield running
        assert running.interrupt() == (0, "")


@pytest.fixture
def page(browser: Browser, demo: Served) -> Iterator[Page]:
    """Open the page, and see in the end that it asked nobody else, and that nothing was amiss."""
    context = browser.new_context(color_scheme="light", viewport={"width": 1200, "height": 900})
    page = context.new_page()
    asked: list[str] = []
    amiss: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda websocket: asked.append(websocket.url))
    page.on("console", lambda message: amiss.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: amiss.append(str(error)))
    page.goto(demo.url)
    page.wait_for_selector("[data-ready]")
    yield page
    context.close()
    assert {url.partition("://")[2].partition("/")[0] for url in asked} == {demo.url.split("/")[2]}
    # Chromium itself writes down each handshake that comes to nothing; no script can keep it from that.
    assert [line for line in amiss if ": WebSocket connection to " not in line] == []
