"""The demo page in a real browser: what a visitor does there, by mouse and by keyboard, on a desk and on a phone."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from in_chromium import PLAYED, rows, served
from playwright.sync_api import Browser, Page, expect

from asgi_wsguard.demo.browser import obstacle
from asgi_wsguard.probe.scenarios import SCENARIOS

SOON = 30_000  # milliseconds
ENDED = re.compile("kept|broken")


def run(page: Page, title: str) -> Any:
    """Run a row, and return what it tells in the end."""
    page.get_by_role("button", name=f"Run: {title}", exact=True).click()
    return ended(page, title)


def ended(page: Page, title: str) -> Any:
    name = next(scenario.name for scenario in SCENARIOS if scenario.title == title)
    row = page.locator("tr.scenario").filter(has=page.get_by_role("button", name=title, exact=True))
    for kind in ("bare", "guarded"):
        expect(row.locator(f"[data-side={kind}]")).to_have_attribute("data-state", ENDED, timeout=SOON)
    return rows(page)[name]


def test_one_row(page: Page) -> None:
    told = run(page, "never answers the handshake")
    bare, guarded = told["bare"], told["guarded"]
    assert (bare["state"], guarded["state"]) == ("broken", "kept")
    assert bare["events"] == [["new WebSocket", ""], ["", "the page gives up"], ["onerror", ""], refused()]
    assert bare["faults"] == [
        "no answer, where the promise is: refused with 503",
        "the app saw nothing, where it must see cancelled",
        "the app still runs",
    ]
    assert guarded["events"] == [["new WebSocket", ""], ["onerror", ""], refused()]
    assert "it answered the handshake with 503" in guarded["facts"]
    assert "tasks left behind: nothing" in guarded["facts"]
    expect(page.get_by_role("status")).to_contain_text("With the guard: refused with 503, kept.")


def refused() -> list[str]:
    return ["onclose", "1006, not clean"]


def test_what_is_shown_while_it_runs(page: Page) -> None:
    page.get_by_role("button", name="Run: never answers the handshake", exact=True).click()
    bare = page.locator("tr.scenario [data-side=bare][data-state=running]")
    expect(bare).to_contain_text("no answer yet", timeout=SOON)
    expect(bare).to_contain_text("of 3 s")
    ended(page, "never answers the handshake")


def test_messages_are_shown(page: Page) -> None:
    told = run(page, "sends a bytearray and a memoryview")["guarded"]
    assert told["events"][2:4] == [["onmessage", "b'one'"], ["onmessage", "b'two'"]]


def test_stop(page: Page) -> None:
    page.get_by_role("button", name="Run all").click()
    expect(page.locator("#count")).not_to_have_text(f"0 of {len(PLAYED)}", timeout=SOON)
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("Stopped.", timeout=SOON)
    assert page.locator("[data-state=running]").count() == 0
    assert run(page, "returns at once")["guarded"]["state"] == "kept"


def test_the_server_is_gone(page: Page) -> None:
    page.route("**/left/**", lambda route: route.fulfill(body="no JSON"))
    page.get_by_role("button", name="Run: returns at once", exact=True).click()
    expect(page.locator("tr.scenario [data-side=guarded]").first).to_contain_text("failed:", timeout=SOON)


def test_keyboard_only(page: Page) -> None:
    def focused() -> str:
        name: str = page.evaluate("document.activeElement.ariaLabel || document.activeElement.textContent.trim()")
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", f"the focus does not show on {name}"
        return name

    seen = []
    for _ in range(7):
        page.keyboard.press("Tab")
        seen.append(focused())
    assert seen == [
        "Skip to the table",
        "Dark",
        "Run all",
        "Stop",
        "returns at once",
        "Clause H1: what it promises",
        "Run: returns at once",
    ]
    page.keyboard.press("Enter")
    assert ended(page, "returns at once")["guarded"]["state"] == "kept"
    assert focused() == "Run: returns at once"

    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#promise")).to_contain_text("returns without an answer")
    page.keyboard.press("Escape")
    expect(page.locator("#promise")).to_be_hidden()

    title = page.get_by_role("button", name="returns at once", exact=True)
    page.keyboard.press("Shift+Tab")
    expect(title).to_be_focused()
    for opened in ("false", "true"):
        page.keyboard.press("Space")
        expect(title).to_have_attribute("aria-expanded", opened)
        expect(page.locator("#detail-returns")).to_be_visible(visible=opened == "true")


def background(page: Page) -> str:
    found: str = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return found


def test_light_and_dark(page: Page) -> None:
    light = background(page)
    page.emulate_media(color_scheme="dark")
    dark = background(page)
    assert dark != light
    for name, shown in (("Light", light), ("Dark", dark)):
        page.get_by_role("button", name=name, exact=True).click()
        assert background(page) == shown
    page.emulate_media(color_scheme="light")  # the system's own change counts again
    expect(page.get_by_role("button", name="Dark", exact=True)).to_be_visible()
    assert background(page) == light


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_anyone_can_use_it(page: Page, scheme: Any, width: int) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 780})
    for title in ("closes with too long a reason", "raises after it accepted"):
        run(page, title)
    page.get_by_text("What a browser cannot run").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_motion_is_reduced(page: Page) -> None:
    page.emulate_media(reduced_motion="reduce")
    page.get_by_role("button", name="Run: never answers the handshake", exact=True).click()
    mark = page.locator("[data-state=running] .mark").first
    assert mark.evaluate("(mark) => getComputedStyle(mark).animationName") == "none"
    ended(page, "never answers the handshake")


def test_what_is_left_out_is_said(page: Page) -> None:
    page.get_by_text("What a browser cannot run").click()
    for scenario in SCENARIOS:
        if obstacle(scenario):
            expect(page.locator("#left-out")).to_contain_text(scenario.title)
            expect(page.locator("#left-out")).to_contain_text(obstacle(scenario))


def test_an_interrupt_ends_it_whatever_the_apps_do(browser: Browser) -> None:
    with served() as demo:
        page = browser.new_page()
        page.goto(demo.url)
        for name in ("ignores-everything", "swallows"):
            page.evaluate(
                """(name) => new Promise((resolve) => {
                const socket = new WebSocket(`ws://${location.host}/bare/${name}/${name}`);
                socket.onopen = resolve;
                if (name === "swallows") resolve();
            })""",
                name,
            )
        page.evaluate("fetch('reached/swallows/0.1/nothing')")
        assert demo.interrupt() == (0, "")
        page.close()
