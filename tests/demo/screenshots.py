"""Writes the screenshots of the README and the docs anew: `scripts/screenshots`."""

from __future__ import annotations

from pathlib import Path

from in_chromium import served
from playwright.sync_api import Browser, Page, expect

from asgi_wsguard.probe.scenarios import EVERYDAY
from harness.browser import chromium

FOLDER = Path(__file__).parents[2] / "docs" / "images"

FEW = ("awaits", "accepts-and-returns", "accepts-and-raises")  # as much as a phone shows at once

# Keep the sums and these rows: it is the page without what one does with it.
_ONLY_RESULTS = """names => {
    for (const part of document.querySelectorAll(".top, h1, .lead, .controls, .notes, .group, .go, .expect"))
        part.style.display = "none";
    for (const row of document.querySelectorAll("tr.scenario"))
        if (!names.includes(row.nextElementSibling.id.replace("detail-", ""))) row.style.display = "none";
    for (const cell of document.querySelectorAll(".title, .caption")) cell.style.paddingLeft = 0;
    document.styleSheets[0].insertRule(".title::before { display: none }");
    document.querySelector(".intro").style.paddingBlock = "1rem 0.5rem";
    document.querySelector(".scores").style = "margin-top: 0; max-width: none";
    document.querySelector("main > .page:last-child").style.paddingBottom = "1rem";
}"""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with served() as demo, chromium() as browser:
        page = _ran(browser, demo.url)
        _write(page, "demo")
        for name, width, shown in (("before-after", 840, EVERYDAY), ("before-after-narrow", 390, FEW)):
            page.evaluate(_ONLY_RESULTS, [*shown])
            page.set_viewport_size({"width": width, "height": 400})
            _write(page, name, whole=True)


def _ran(browser: Browser, url: str) -> Page:
    """Return the page, with all rows run."""
    page = browser.new_page(viewport={"width": 1120, "height": 1082}, reduced_motion="reduce", device_scale_factor=2)
    page.goto(url)
    page.get_by_role("button", name="Run: returns at once", exact=True).click()  # the first takes longer
    expect(page.get_by_role("status")).to_contain_text("kept", timeout=30_000)
    page.reload()
    page.get_by_role("button", name="Run all").click()
    expect(page.get_by_role("status")).to_contain_text("have run", timeout=240_000)
    page.get_by_role("heading", level=1).click()  # nothing has the focus
    page.mouse.move(0, 0)
    return page


def _write(page: Page, name: str, *, whole: bool = False) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=FOLDER / f"{name}-{scheme}.png", animations="disabled", full_page=whole)


if __name__ == "__main__":
    main()
