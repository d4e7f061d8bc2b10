"""The files of docs/together/, each served on uvicorn with the real package: what it makes of the guard's lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

HERE = Path(__file__).parent
FOLDER = HERE.parent.parent / "docs" / "together"
CRASH, NEVER, STAYS = "/rooms/7", "/never", "/stays"


class Run(NamedTuple):
    events: list[dict[str, Any]]
    log: list[str]

    def with_text(self, text: str) -> str:
        """Return the one line that has the text."""
        (line,) = [line for line in self.log if text in line]
        return line


def run(example: str, *paths: str) -> Run:
    """Serve the example, visit the paths, and return what Sentry got, and what was logged."""
    command = [sys.executable, HERE / "served_example.py", FOLDER / f"with_{example}.py", *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return Run(json.loads(done.stdout), done.stderr.splitlines())


def messages(events: list[dict[str, Any]]) -> list[str]:
    return [event["logentry"]["message"] for event in events if "logentry" in event]


def test_sentry_gets_one_event_for_a_crash() -> None:
    (event,) = run("sentry", CRASH).events
    assert [one["type"] for one in event["exception"]["values"]] == ["KeyError"]
    assert event["transaction"] == "/rooms/{room}"
    crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"] if crumb["category"] == "asgi_wsguard"]
    assert re.fullmatch(r"\[wsguard-O2\] '/rooms/7' \(route .*\): The app raised KeyError .*", *crumbs)


def test_sentry_groups_by_signature_and_route() -> None:
    events = run("sentry", NEVER, NEVER).events
    assert messages(events) == ["[wsguard-H4] '/never': %s"] * 2
    assert events[1]["transaction"] == "/never"


IDS = {
    "ids": r"(?:ERROR|WARNING) ([0-9a-f]{32}) ",
    "opentelemetry": r"(?:ERROR|WARNING) trace=(?!0{32})([0-9a-f]{32}) ",
    "structlog": r'"request_id": "([0-9a-f]{32})"',
}


@pytest.mark.parametrize("example", IDS)
def test_the_guards_lines_have_the_id_of_the_request(example: str) -> None:
    seen = run(example, CRASH, NEVER, STAYS)
    found = {}
    for clause, before in (("O2", "about to crash"), ("H4", "about to wait"), ("O12", "about to stay")):
        ids = {re.search(IDS[example], seen.with_text(text))[1] for text in (f"[wsguard-{clause}]", before)}  # type: ignore[index]
        (found[clause],) = ids
    assert len({*found.values()}) == 3


@pytest.mark.parametrize(("example", "level"), [("json", "levelname"), ("structlog", "level")])
def test_the_fields_of_the_report_are_in_the_json(example: str, level: str) -> None:
    line = json.loads(run(example, CRASH).with_text("wsguard-O2"))
    assert line[level].upper() == "ERROR"
    assert (line["ws_signature"], line["ws_route"], line["ws_close_code"]) == ("wsguard-O2", "/rooms/{room}", 1011)
