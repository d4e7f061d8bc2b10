"""Fetches a suite, makes its environment, and runs its websocket tests bare or behind the guard."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from transparency.suites import Suite

from harness.environments import find_python

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
CACHE = REPOSITORY / ".cache" / "transparency"
TIMEOUT = 900
NOTHING_RUN = 5  # pytest's status


@dataclass(frozen=True)
class Result:
    passed: bool
    websockets: int
    message: str
    id: str = ""


def prepare(suite: Suite) -> Path:
    """Return the suite's folder, with the source archive unpacked and an environment to run its tests in."""
    version = suite.python or f"{sys.version_info.major}.{sys.version_info.minor}"
    base = find_python(version) if suite.python else sys.executable
    home = CACHE / f"{suite.project}-{suite.release}-py{version}"
    needs = f"{base} {suite.extras} {suite.requirements}"
    wanted = "\n".join([sys.version, needs, (REPOSITORY / "pyproject.toml").read_text("utf-8")])
    ready = home / "ready"
    if ready.exists() and ready.read_text() == wanted:
        return home
    shutil.rmtree(home, ignore_errors=True)
    uv = [sys.executable, "-m", "uv", "--quiet"]
    _call(*uv, "venv", "--seed", "--python", base, home / "env")
    python = home / "env" / "bin" / "python"
    pinned = f"{suite.project}=={suite.release}"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    isolation = ["--no-build-isolation"] if suite.backend else []
    download = [*pip, "download", "--no-deps", *isolation, "--no-binary", suite.project, "--dest", home, pinned]
    _call(*download, env={**os.environ, "PYTHONPATH": str(HERE / "backends")} if suite.backend else None)
    (archive,) = home.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(home, filter="data")
    (home / archive.name[: -len(".tar.gz")]).rename(home / "source")
    # What is tested is what people install, which for Falcon is compiled.
    shutil.rmtree(home / "source" / suite.project.replace("-", "_"), ignore_errors=True)
    requirements = [f"{suite.project}[{suite.extras}]=={suite.release}", *suite.requirements, "pytest-timeout==2.4.0"]
    _call(*uv, "pip", "install", "--python", python, *requirements, "--editable", REPOSITORY)
    ready.write_text(wanted)
    return home


def run(suite: Suite, home: Path, *, guarded: bool, leave_out: Iterable[Result] = ()) -> dict[str, Result]:
    """Run the suite's websocket tests, without those of these results.

    These suites race for ports and against the clock: what fails runs once more, and the second result counts.
    """
    folder = home / ("guarded" if guarded else "bare")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    command = [home / "env" / "bin" / "python", "-m", "pytest", "-v", "-o", "addopts=", "-o", f"cache_dir={folder}"]
    command += ["--timeout=60", "-k", suite.select, "-p", "wsguard_everywhere"]
    foreign = ("PYTEST", "PYTHON", "COV", "VIRTUAL_ENV", "HYPOTHESIS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # Daphne's tests keep their messages in fixed files in the temporary folder.
    environment.update(PYTHONPATH=str(HERE), TMPDIR=str(folder / "tmp"), WEBSOCKETS=str(folder / "websockets"))
    environment.update(GUARDED="yes" if guarded else "", LEAVE_OUT=str(folder / "leave-out"))
    (folder / "leave-out").write_text("\n".join(result.id for result in leave_out), "utf-8")
    results: dict[str, Result] = {}
    for attempt, again in enumerate([(), ("--last-failed",)]):
        report = folder / f"{attempt}.xml"
        log = folder / f"{attempt}.log"
        status = _call(
            *command,
            *(f"--junit-xml={report}", *again, *_modules(suite, home / "source")),
            cwd=home / "source",
            env=environment,
            log=log,
            accept=(0, 1, NOTHING_RUN),
        )
        results.update(_read(report))
        if status != 1:
            break
    return results


def _modules(suite: Suite, source: Path) -> list[str]:
    modules = [
        str(path.relative_to(source))
        for path in sorted((source / "tests").rglob("test_*.py"))
        if suite.opens in path.read_text("utf-8")
    ]
    assert set(suite.leave_out) < set(modules), f"{suite.project}: not among the modules: {suite.leave_out}"
    return [module for module in modules if module not in suite.leave_out]


def _read(report: Path) -> dict[str, Result]:
    results = {}
    for case in ElementTree.parse(report).iter("testcase"):
        troubles = [child for child in case if child.tag in ("failure", "error", "skipped")]
        properties = [(found.get("name"), found.get("value")) for found in case.iterfind("properties/property")]
        counts = [int(value) for name, value in properties if name == "websockets"]
        message = "; ".join(child.get("message", "").partition("\n")[0] for child in troubles)
        results[f"{case.get('classname')}::{case.get('name')}"] = Result(
            not troubles, sum(counts), message, dict(properties).get("id", "")
        )
    return results


def _call(
    *command: Path | str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    log: Path | None = None,
    accept: tuple[int, ...] = (0,),
) -> int:
    """Run a command, and fail with the end of its output unless its status is in `accept`."""
    with tempfile.TemporaryFile() if log is None else log.open("w+b") as output:
        try:
            status: object = subprocess.run(
                command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=TIMEOUT
            ).returncode
        except subprocess.TimeoutExpired:
            status = f"none after {TIMEOUT} s"
        if status in accept:
            return status
        output.seek(0)
        end = output.read().decode("utf-8", "replace")[-4000:]
    raise RuntimeError(f"{' '.join(map(str, command))}\nended with status {status}:\n{end}")
