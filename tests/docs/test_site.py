"""The built site: it asks no other host for anything, shows what it should, and finds what people look for."""

from __future__ import annotations

import functools
import http.server
import inspect
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, TimeoutError

import asgi_wsguard
from asgi_wsguard.rules.states import State
from harness.browser import browser as browser
from pictures import rooms, states

ROOT = Path(__file__).parents[2]

# A word is what has no space in it, and no place after which a line may end.
BROKEN_WORDS = r"""() => {
    const broken = [];
    const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
    for (let node; (node = walker.nextNode());) {
        if (node.parentElement.closest("pre, svg, .headerlink")) continue;
        for (const found of node.data.matchAll(/(?<=^|\s)-*[\p{L}\p{N}]+|[\p{L}\p{N}]+/gu)) {
            const range = document.createRange();
            range.setStart(node, found.index);
            range.setEnd(node, found.index + found[0].length);
            const tops = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
            if (tops.size > 1) broken.push(found[0]);
        }
    }
    return broken;
}"""


class Site(NamedTuple):
    """The site, built and served."""

    folder: Path
    url: str

    @property
    def pages(self) -> list[str]:
        return sorted(str(file.parent.relative_to(self.folder)) for file in self.folder.rglob("index.html"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert (built.returncode, built.stdout) == (0, "")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Site(folder, f"http://127.0.0.1:{server.server_port}/")
        server.shutdown()
        thread.join()


@pytest.fixture
def page(browser: Browser, site: Site) -> Iterator[Page]:
    context = browser.new_context(base_url=site.url, permissions=["clipboard-read", "clipboard-write"])
    yield context.new_page()
    context.close()


def test_no_other_host_is_named(site: Site) -> None:
    loads = re.compile(
        r"<(?:script|link|img|source|iframe|use)\b[^>]*?\b(?:src|srcset|href)=\"?((?:https?:)?//[^\" >]*)"
    )
    for name in site.pages:
        found = loads.findall((site.folder / name / "index.html").read_text(encoding="utf-8"))
        assert found == [], name
    for sheet in site.folder.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", sheet.read_text(encoding="utf-8")) == [], sheet


def test_every_page_is_whole(page: Page, site: Site) -> None:
    """None asks another host, breaks inside a word, or is wider than the screen; no script fails."""
    asked: list[str] = []
    amiss: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("response", lambda response: amiss.append(response.url) if response.status >= 400 else None)
    page.on("pageerror", lambda error: amiss.append(str(error)))
    widths = [1280, 390]  # a desktop's and a phone's
    for name in site.pages:
        page.goto(f"{name}/")
        for width in widths:
            page.set_viewport_size({"width": width, "height": 844})
            amiss += [f"{name} breaks {word}" for word in page.evaluate(BROKEN_WORDS)]
            try:  # what stands at the side of the page slides out of sight when the width changes
                page.wait_for_function("document.scrollingElement.scrollWidth <= window.innerWidth", timeout=10_000)
            except TimeoutError:
                amiss.append(f"{name} is wider than {width}")
        widths.reverse()  # the next page loads at this width
    assert amiss == []
    assert [url for url in asked if not url.startswith((site.url, "data:", "blob:"))] == []


# What people look for, and the page that should come first.
LOOKED_FOR = {
    "graceful shutdown": "drain/",
    "sentry": "together/",
    "forever": "#clients-that-hang-forever",
    "1006": "#close-code-1006",
    "hang": "#clients-that-hang-forever",
    "leak": "#tasks-that-leak",
}


@pytest.mark.parametrize("words", LOOKED_FOR)
def test_search_finds(page: Page, site: Site, words: str) -> None:
    """The first result is a page, and where only a section of it is about these words, that comes next."""
    page.goto("")
    page.locator(".md-search__input").click()
    page.keyboard.type(words)
    links = page.locator(".md-search-result__link")
    links.first.wait_for()
    shown = [re.sub(r"\?h=[^#]*", "", str(link.evaluate("link => link.href"))) for link in links.all()[:2]]
    assert site.url + LOOKED_FOR[words] in shown
    index = json.loads((site.folder / "search" / "search_index.json").read_text(encoding="utf-8"))
    texts = {one["location"]: f"{one['title']} {one['text']}".lower() for one in index["docs"]}
    assert all(word in texts[LOOKED_FOR[words]] for word in words.split())


def test_the_prompt_is_not_copied(page: Page) -> None:
    page.goto("")
    page.locator(".md-code__button").first.click()
    page.wait_for_function("navigator.clipboard.readText().then((text) => text !== '')")
    assert page.evaluate("navigator.clipboard.readText()") == "pip install asgi-wsguard"


def test_next_and_previous_are_at_the_foot(page: Page) -> None:
    page.goto("start/")
    assert page.locator(".md-footer__link--prev").get_attribute("href") == ".."
    assert page.locator(".md-footer__link--next").get_attribute("href") == "../demo/"


def test_the_colours_are_those_of_the_demo(browser: Browser, site: Site) -> None:
    """Light and dark, as the system has it."""
    style = (ROOT / "asgi_wsguard" / "demo" / "page" / "style.css").read_text(encoding="utf-8")
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for at, scheme in enumerate(schemes):
        page = browser.new_page(color_scheme=scheme)
        page.goto(site.url)
        for name in ("page", "sheet", "text", "muted", "line", "accent"):
            wanted = re.search(rf"--{name}: light-dark\((\S+), (\S+)\);", style)
            assert wanted is not None
            shown = page.evaluate(f"getComputedStyle(document.body).getPropertyValue('--{name}').trim()")
            assert shown == wanted[at + 1], (scheme, name)
        page.close()


def test_the_signature_of_the_middleware_has_types_and_links(page: Page) -> None:
    page.goto("api/")
    signature = page.locator("#asgi_wsguard\\.WebSocketGuardMiddleware ~ .doc-signature").first
    shown = signature.inner_text()
    for name in list(inspect.signature(asgi_wsguard.WebSocketGuardMiddleware).parameters)[1:]:
        assert re.search(rf"^\s+{name}: \S+.* = .+,$", shown, re.MULTILINE), name
    assert signature.locator("a[href$='#asgi_wsguard.Drainer']").count() == 1
    assert page.locator("li a[href='#asgi_wsguard.ProtocolViolation']").count() > 0  # in the text


def test_every_state_has_a_way_in() -> None:
    entered = {then for state, then in states.ways() if then is not state}
    assert entered == {*State} - {State.CONNECTING}
    drawn = states.picture()
    for state in State:
        assert f">{state.value}</text>" in drawn


def test_every_room_is_in_the_picture() -> None:
    drawn = rooms.picture()
    here = {rooms.room(module) for module in rooms.MODULES} - {"", "__main__"}
    shown = {name.rstrip("/").removesuffix(".py") for name in re.findall(r">([\w./]+)</text>", drawn)}
    assert shown == here | {rooms.METRICS}
