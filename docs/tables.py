"""Fills the marks in the pages from the code's own tables, so that the pages cannot say anything else.

A mkdocs hook: `<!-- states -->` becomes the state diagram, `<!-- debts -->` the table of what is owed at the end.
"""

from __future__ import annotations

from pathlib import Path

from asgi_wsguard.lifecycle import DEBTS, OVER, TRANSITIONS, Action, Debt, State

SHORT = {
    "websocket.accept": "accept",
    "websocket.close": "close",
    "websocket.http.response.start": "response start",
    "websocket.http.response.body": "response body",
    "websocket.http.response.body (last)": "last response body",
    "websocket.send": "send",
}


def state_diagram() -> str:
    """Draw the transitions that the app makes."""
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.CONNECTING.value}"]
    for (state, event), step in TRANSITIONS.items():
        if step.action is not Action.IGNORE or state is State.DISCARDING:
            lines.append(f"    {state.value} --> {step.then.value}: {SHORT[event.value]}")
    for state in State:
        if state in OVER:
            lines.append(f"    {state.value} --> [*]")
        elif state is not State.DISCARDING:
            lines.append(f"    {state.value} --> {State.GONE.value}: the client leaves")
    return "\n".join([*lines, "```"])


def debt_table() -> str:
    """Write down what is sent when the app has ended."""
    lines = ["| clause | the connection is | the app | the guard sends |", "| --- | --- | --- | --- |"]
    for (state, ending), debt in DEBTS.items():
        lines.append(f"| {debt.clause} | {state.value} | {ending.value} | {_owed(state, debt)} |")
    return "\n".join(lines)


def _owed(state: State, debt: Debt) -> str:
    if state is State.OPEN:
        return f"close {debt.code.value}"
    if debt.status is not None:
        return f"a denial, {debt.status}"
    if debt.finish:
        return "the start with an empty body" if state is State.HELD else "the end of the body"
    return "nothing more"


def on_page_markdown(markdown: str, **_: object) -> str:
    """Fill the marks (called by mkdocs for each page)."""
    markdown = markdown.replace("<!-- states -->", state_diagram()).replace("<!-- debts -->", debt_table())
    changelog = Path(__file__).parent.parent / "CHANGELOG.md"
    return markdown.replace("<!-- changelog -->", changelog.read_text(encoding="utf-8"))
