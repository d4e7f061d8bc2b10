"""The pages agree with the code, and the commands they name are there."""

from __future__ import annotations

import logging
import os
import re
import runpy
import shlex
from pathlib import Path

import click
import pytest

from asgi_wsguard import Outcome
from asgi_wsguard.cli.commands import commands
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import SERVERS
from asgi_wsguard.rules.states import OBLIGATIONS, State
from compat.stored import older
from compat.tables import with_table

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
# What .ci/run runs, with a part of it, and what makes the package that `pip install` names.
COMMANDS = {"scripts/demo", "scripts/test", "scripts/test --quick", "scripts/check --fix"} | {
    "pip install asgi-wsguard",
    "pip install 'asgi-wsguard[cli]'",
    "pip install 'asgi-wsguard[demo]'",
    "asgi-wsguard demo",
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_is_one_that_ci_runs(page: Path) -> None:
    blocks = re.findall(r"```console\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    for line in "".join(blocks).splitlines():
        command = line.removeprefix("$ ")
        if command.startswith(("asgi-wsguard ", "uvx ", "uv run ", "pipx ")):
            continue  # below, and in test_without_installing.py
        assert command in COMMANDS, f"{page.name}: {command}"
        if command.startswith("scripts/"):
            assert os.access(ROOT / command.split()[0], os.X_OK)


def test_every_command_line_is_understood(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # it looks whether it may write its files
    lines = [
        line for page in PAGES for line in re.findall(r"^\$ asgi-wsguard (.*)", page.read_text(encoding="utf-8"), re.M)
    ]
    assert lines
    for line in lines:
        name, *arguments = shlex.split(line)
        command = commands.get_command(click.Context(commands), name)
        command.make_context(name, arguments)


def test_blocks_are_of_a_kind_that_is_run_or_shown() -> None:
    for page in PAGES:
        kinds = re.findall(r"^```(\w*)\n.*?^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
        assert set(kinds) <= {"python", "console", "text"}, page.name


@pytest.fixture(scope="module")
def contract() -> str:
    """The page of the contract, with its tables."""
    tables = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    filled: str = tables["on_page_markdown"]((ROOT / "docs" / "contract.md").read_text(encoding="utf-8"))
    return filled


def test_tables_are_drawn_from_the_code(contract: str) -> None:
    assert "<!--" not in contract
    for state in State:
        assert state.value in contract
    for debt in OBLIGATIONS.values():
        assert f"| {debt.clause} |" in contract


def test_every_signature_of_a_log_line_is_on_the_page() -> None:
    """Of the outcomes, of what an app does wrong before the end, and of the lines about the guard itself."""
    page = (ROOT / "docs" / "logs.md").read_text(encoding="utf-8")
    for outcome in Outcome:
        section = page.partition(f"### At level {logging.getLevelName(outcome.level)}")[2].partition("###")[0]
        assert f"\n| `wsguard-{outcome.clause}` | " in section, outcome
    warnings = page.partition("### At level WARNING")[2].partition("###")[0]
    for clause in ("H10", "H11", "H14", "O4", "O6", "O9", "O10", "D5", "E1", "E4"):
        assert f"\n| `wsguard-{clause}` | " in warnings, clause
    table = runpy.run_path(str(ROOT / "docs" / "tables.py"))["on_page_markdown"]("<!-- outcomes -->")
    assert all(f"| `{outcome.value}` | {outcome.clause} |" in table for outcome in Outcome)


def test_what_is_deployed_is_shown_as_it_is() -> None:
    tables = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    filled = tables["on_page_markdown"]((ROOT / "docs" / "deploying.md").read_text(encoding="utf-8"))
    assert "<!--" not in filled
    for file in (ROOT / "docs" / "deploy").iterdir():
        if file.suffix in (".py", ".conf", ".service", ".yaml"):
            assert file.read_text(encoding="utf-8") in filled
    assert "`granian --interface asgi app:app --port 8000`" in filled


def test_every_server_is_told_how_to_serve_tls() -> None:
    tables = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    filled = tables["on_page_markdown"]((ROOT / "docs" / "servers.md").read_text(encoding="utf-8"))
    for program in {server.command.split()[1] for server in SERVERS}:
        assert re.search(rf"^{program} .*8443.*privkey\.pem app:app$", filled, re.MULTILINE), program


def test_compatibility_is_what_was_played() -> None:
    """And that is all there is: tests/servers/test_compat.py looks at the rest."""
    tables = runpy.run_path(str(ROOT / "docs" / "tables.py"))
    filled = tables["on_page_markdown"]((ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8"))
    assert "<!--" not in filled
    for scenario in SCENARIOS:
        assert f"| {scenario.clause} {scenario.title} |" in filled
    for package in older()["packages"].values():
        for server in package["servers"]:
            assert f"| {server} |" in filled


def test_readme_has_the_table_as_it_was_played() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(page) == page


def test_every_clause_of_the_code_is_on_the_page(contract: str) -> None:
    for source in (ROOT / "asgi_wsguard").glob("*.py"):
        for clause in re.findall(r'"([HODE]\d+)"', source.read_text(encoding="utf-8")):
            assert re.search(rf"^\| {clause} \|", contract, re.MULTILINE), f"{source.name}: {clause}"
