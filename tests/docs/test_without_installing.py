"""The commands of the page run as they stand there, by `uvx` and `pipx`, with the package that is built here."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import uv

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Without installing it\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^\$ (.*)", SECTION, re.MULTILINE)
FINDING = "[H1] /chat: the app returned without answering the handshake (chat.py:15)"


class Shell:
    """A folder with the app of the page, and the environment of the commands."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        found = os.pathsep.join(
            [os.path.dirname(uv.find_uv_bin()), os.path.dirname(sys.executable), os.environ["PATH"]]
        )
        links = str(folder / "built")
        subprocess.run([uv.find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", links, str(ROOT)], check=True)
        self._env = {
            **{name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")},
            "PATH": found,
            "UV_FIND_LINKS": links,
            "PIP_FIND_LINKS": links,
            "UV_PYTHON": sys.executable,
            **{f"PIPX_{name}": str(folder / "pipx" / name.lower()) for name in ("HOME", "BIN_DIR", "MAN_DIR")},
        }
        (source,) = re.findall(r"`chat.py`.*?```python\n(.*?)```", PAGE, re.DOTALL)
        Path(folder, "chat.py").write_text(source, encoding="utf-8")

    def run(self, command: str, **env: str) -> subprocess.CompletedProcess[str]:
        kept = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        env = {**self._env, **env}
        return subprocess.run(shlex.split(command), cwd=self.folder, env=env, text=True, **kept)  # type: ignore[call-overload, no-any-return]


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return Shell(tmp_path_factory.mktemp("shell"))


def named(*words: str) -> str:
    """Return the one command of the page that has these words."""
    (command,) = [command for command in COMMANDS if all(word in command for word in words)]
    return command


@pytest.mark.parametrize("runner", ["uvx", "pipx run"])
def test_explain(shell: Shell, runner: str) -> None:
    done = shell.run(named(runner, "explain"))
    assert (done.returncode, done.stdout[:3]) == (0, "H4:"), done.stderr


def test_the_demo(shell: Shell) -> None:
    done = shell.run(named("uvx", "demo") + " --help")
    assert (done.returncode, "--port" in done.stdout) == (0, True), done.stderr


def test_check_finds_the_app_and_what_it_needs(shell: Shell) -> None:
    done = shell.run(named("uvx", "--with starlette"))
    assert (done.returncode, done.stdout.splitlines()[:1]) == (1, [FINDING]), done.stderr


def test_check_says_what_is_missing_and_where(shell: Shell) -> None:
    done = shell.run(named("uvx", "--with starlette").replace("--with starlette ", ""))
    shown = re.sub(r"(?<=runs in the environment )\S+(?=:)", "…", done.stderr).splitlines()[-1:]
    (told,) = re.findall(r"^asgi-wsguard check: .*", SECTION, re.MULTILINE)
    assert (done.returncode, shown) == (2, [re.sub(r"/home/\S+(?=:)", "…", told)])


def test_a_project_of_uv(shell: Shell) -> None:
    project = '[project]\nname = "chat"\nversion = "1"\nrequires-python = ">=3.9"\ndependencies = ["starlette"]\n'
    Path(shell.folder, "pyproject.toml").write_text(project, encoding="utf-8")
    done = shell.run(named("uv run"))
    assert (done.returncode, done.stdout.splitlines()[:1]) == (1, [FINDING]), done.stderr
    # Its environment is named to who runs the command in another one.
    done = shell.run(named("uvx", "--with starlette").replace("--with starlette ", ""))
    assert f"if the app's is {shell.folder}/.venv, install 'asgi-wsguard[cli]' there" in done.stderr


def test_pipx_takes_what_the_app_needs(shell: Shell) -> None:
    for command in (named("pipx install"), named("pipx inject")):
        assert shell.run(command).returncode == 0
    done = shell.run(f"{shell.folder}/pipx/bin_dir/asgi-wsguard check chat:app --path /chat")
    assert (done.returncode, done.stdout.splitlines()[:1]) == (1, [FINDING]), done.stderr
