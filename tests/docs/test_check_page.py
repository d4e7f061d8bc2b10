"""What the page of the command line shows of `check` and `compare` is what they show."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from asgi_wsguard.cli.commands import commands

PAGE = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^\$ asgi-wsguard ((?:check|compare) .*)\n((?:[^$`\n].*\n)+)", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("arguments", "output"), SHOWN)
def test_output(arguments: str, output: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (name,) = re.findall(r"(\w+):app", arguments)
    (source,) = re.findall(rf"`{name}.py`.*?```python\n(.*?)```", PAGE, re.DOTALL)
    Path(tmp_path, f"{name}.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, name, raising=False)
    result = CliRunner().invoke(commands, shlex.split(arguments))
    assert (result.exit_code, result.output) == (arguments.startswith("check"), output)


def test_all_of_them_are_found() -> None:
    assert len(SHOWN) == PAGE.count("\n```text\n$ asgi-wsguard c") + PAGE.count("\n\n$ asgi-wsguard c")
