"""Every misbehaviour that a browser can play ends behind the guard as the contract has it."""

from __future__ import annotations

from typing import Any

from in_chromium import PLAYED, rows
from playwright.sync_api import Page, expect

from asgi_wsguard.probe.model import Closed, Cut, Denied, Gone, OneOf, Outcome

IN_THE_END = 240_000  # milliseconds


def test_all_rows(page: Page) -> None:
    page.get_by_role("button", name="Run all").click()
    expect(page.get_by_role("status")).to_contain_text(f"All {len(PLAYED)} have run", timeout=IN_THE_END)
    told = rows(page)
    assert [*told] == [scenario.name for scenario in PLAYED]
    for scenario in PLAYED:
        bare, guarded = told[scenario.name]["bare"], told[scenario.name]["guarded"]
        assert guarded["state"] == "kept", (scenario.name, guarded)
        assert gets(guarded, scenario.client_gets), (scenario.name, guarded)
        assert "tasks left behind: nothing" in guarded["facts"]
        assert "the app still runs" not in guarded["facts"]
        lines = [line.partition("]")[0].replace("[wsguard-", "") for line in guarded["log"]]
        odd = [line for line in lines if not line.startswith("DEBUG")]
        if scenario.logs is not None and not scenario.logs.startswith("DEBUG"):
            assert ", ".join(odd) == scenario.logs, (scenario.name, guarded)
        assert bare["state"] in ("kept", "broken")
    expect(page.locator(".score[data-side=guarded]")).to_contain_text(f"{len(PLAYED)} of {len(PLAYED)}")
    assert 0 < sum(one["bare"]["state"] == "kept" for one in told.values()) < len(PLAYED)


def gets(told: Any, outcome: Outcome) -> bool:
    """Tell whether a browser saw what a client must get."""
    if isinstance(outcome, OneOf):
        return any(gets(told, one) for one in outcome.outcomes)
    names = [name for name, _ in told["events"]]
    messages = tuple(text for name, text in told["events"] if name == "onmessage")
    closed = dict(told["events"])["onclose"]
    if isinstance(outcome, Closed):
        reason = f" “{outcome.reason}”" if outcome.reason else ""
        expected = outcome.messages and tuple(one if isinstance(one, str) else repr(one) for one in outcome.messages)
        return "onopen" in names and closed == f"{outcome.code}{reason}" and expected in (None, messages)
    refused = "onopen" not in names and "onerror" in names and closed.startswith("1006")
    if isinstance(outcome, Denied):
        return refused and f"it answered the handshake with {outcome.status}" in told["facts"]
    return refused and isinstance(outcome, (Cut, Gone))
