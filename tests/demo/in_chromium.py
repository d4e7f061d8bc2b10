"""The demo, served by its own command, as Chromium shows it."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

from playwright.sync_api import Page

from asgi_wsguard.demo.browser import obstacle
from asgi_wsguard.probe.scenarios import SCENARIOS

PLAYED = [scenario for scenario in SCENARIOS if not obstacle(scenario)]

_READ_ROWS = """() => [...document.querySelectorAll("tr.scenario")].map((row) => {
    const detail = row.nextElementSibling;
    const texts = (within, part) => [...within.querySelectorAll(part)].map((found) => found.textContent.trim());
    const side = (kind, panel) => ({
        state: row.querySelector(`[data-side=${kind}]`).dataset.state,
        events: [...panel.querySelectorAll(".events li")].map((item) => [
            item.querySelector("code").textContent, item.lastChild.lastChild.textContent.trim(),
        ]),
        facts: texts(panel, ".facts li"),
        log: texts(panel, ".log li"),
        faults: texts(panel, ".faults li"),
    });
    const [bare, guarded] = detail.querySelectorAll(".panel");
    return [detail.id.replace("detail-", ""), {bare: side("bare", bare), guarded: side("guarded", guarded)}];
})"""


class Served(NamedTuple):
    """The command `demo`, which runs."""

    url: str
    process: subprocess.Popen[str]

    def interrupt(self) -> tuple[int, str]:
        """Press Ctrl-C; return the exit status, and what the command has said since it told its address."""
        self.process.send_signal(signal.SIGINT)
        said, _ = self.process.communicate(timeout=30)
        return self.process.returncode, said


@contextlib.contextmanager
def served() -> Iterator[Served]:
    command = [sys.executable, "-m", "asgi_wsguard", "demo", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        url = re.search(r"http://\S+", told)
        assert url is not None, told + process.stdout.read()
        try:
            yield Served(url[0], process)
        finally:
            process.kill()


def rows(page: Page) -> Any:
    """Return what each row shows of its two sides, by the name of the scenario."""
    return dict(page.evaluate(_READ_ROWS))
