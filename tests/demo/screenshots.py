"""Writes the screenshots of the README and the docs anew: `scripts/screenshots`."""

from __future__ import annotations

from pathlib import Path

from in_chromium import chromium, served
from playwright.sync_api import expect

FOLDER = Path(__file__).parents[2] / "docs" / "images"


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with served() as demo, chromium() as browser:
        page = browser.new_page(viewport={"width": 1120, "height": 1082}, reduced_motion="reduce")
        page.goto(demo.url)
        page.get_by_role("button", name="Run: returns at once", exact=True).click()  # the first takes longer
        expect(page.get_by_role("status")).to_contain_text("kept", timeout=30_000)
        page.reload()
        page.get_by_role("button", name="Run all").click()
        expect(page.get_by_role("status")).to_contain_text("have run", timeout=240_000)
        page.get_by_role("heading", level=1).click()  # nothing is hovered over, and nothing has the focus
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=FOLDER / f"demo-{scheme}.png", animations="disabled")


if __name__ == "__main__":
    main()
