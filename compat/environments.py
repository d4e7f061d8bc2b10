"""Virtual environments for other releases, made once and kept in the repository's `.cache/`."""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import uv

REPOSITORY = Path(__file__).resolve().parents[1]
CACHE = REPOSITORY / ".cache" / "environments"
ANYIO = "2023-12-01"
"""The day of the first release that this project supports."""


class MissingPython(RuntimeError):
    """This machine does not have that version of Python."""


def environment(version: str, *requirements: str, first: Sequence[str] = (), until: str = "") -> str:
    """Return the interpreter of an environment with that Python, this project and those requirements.

    What comes `first` is installed, with all that it needs, as it was before the day `until`, such as "2022-11-21"; of
    that no more is changed then than this project needs.

    Raises:
        MissingPython: that Python is not there.
        RuntimeError: something could not be installed; the message says what.
    """
    base = find_python(version)
    # The project's own dependencies are in pyproject.toml; its code is not copied, so it is always as it is now.
    parts = (base, *requirements, *first, until, (REPOSITORY / "pyproject.toml").read_text())
    folder = CACHE / f"{version}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
    python = str(folder / "bin" / "python")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / "ready"
        if not ready.exists():
            install = ["pip", "install", "--quiet", "--python", python]
            _uv("venv", "--quiet", "--allow-existing", "--python", base, str(folder))
            if first:
                _uv(*install, "--exclude-newer", f"{until}T00:00:00Z", *first)
                # The older anyio is, the older is the trio that it works with.
                install += ["--exclude-newer-package", f"anyio={max(until, ANYIO)}T00:00:00Z"]
            _uv(*install, "--editable", str(REPOSITORY), *requirements, *first)
            ready.touch()
    return python


def find_python(version: str) -> str:
    """Return the interpreter of that version, such as "3.9", which `scripts/pythons` finds on PATH or in pyenv.

    Raises:
        MissingPython: there is none.
    """
    found = _pythons()
    if version not in found:
        raise MissingPython(
            f"Python {version} is needed, and there is none: neither python{version} on PATH, nor one of pyenv's"
        )
    return found[version]


def installed(python: str) -> dict[str, str]:
    """Return the packages in an environment, and their versions."""
    listed = json.loads(_uv("pip", "list", "--format", "json", "--python", python))
    return {package["name"]: package["version"] for package in listed}


@functools.cache
def _pythons() -> dict[str, str]:
    command = [str(REPOSITORY / "scripts" / "pythons")]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in listed.splitlines())


def _uv(*arguments: str) -> str:
    done = subprocess.run([uv.find_uv_bin(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"uv {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
    return done.stdout
