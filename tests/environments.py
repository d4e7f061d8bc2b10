"""Virtual environments of their own for other releases, made once and kept in the repository's `.cache/`."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import uv

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "environments"


def environment(version: str, *requirements: str) -> str:
    """Return the interpreter of an environment with that Python, this project and those requirements.

    Raises:
        RuntimeError: the Python is missing, or something could not be installed; the message says what.
    """
    base = find_python(version)
    # The project's own dependencies are in pyproject.toml; its code is not copied, so it is always as it is now.
    parts = (base, *requirements, (REPOSITORY / "pyproject.toml").read_text())
    folder = CACHE / f"{version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
    python = str(folder / "bin" / "python")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / "ready"
        if not ready.exists():
            _uv("venv", "--quiet", "--allow-existing", "--python", base, str(folder))
            _uv("pip", "install", "--quiet", "--python", python, "--editable", str(REPOSITORY), *requirements)
            ready.touch()
    return python


def find_python(version: str) -> str:
    """Return the interpreter of that version, such as "3.9", which `scripts/pythons` finds on PATH or in pyenv.

    Raises:
        RuntimeError: there is none, and this is CI; elsewhere the test is skipped.
    """
    found = _pythons()
    if version not in found:
        missing = f"Python {version} is needed, and there is none: neither python{version} on PATH, nor one of pyenv's"
        if "CI" in os.environ:
            raise RuntimeError(missing)
        pytest.skip(missing)
    return found[version]


def program(name: str, package: str) -> str:
    """Return the path of a program that a Debian package has.

    Raises:
        RuntimeError: there is none, and this is CI; elsewhere the test is skipped.
    """
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        missing = f"{name} is missing: scripts/debian {package}"
        if "CI" in os.environ:
            raise RuntimeError(missing)
        pytest.skip(missing)
    return path


@functools.cache
def _pythons() -> dict[str, str]:
    command = [str(REPOSITORY / "scripts" / "pythons")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in listed.splitlines())


def _uv(*arguments: str) -> None:
    done = subprocess.run([uv.find_uv_bin(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
