"""What is built is what users install."""

from __future__ import annotations

import subprocess
import tarfile
import zipfile
from pathlib import Path

import uv

ROOT = Path(__file__).parents[2]


def build(kind: str, folder: Path) -> Path:
    subprocess.run([uv.find_uv_bin(), "build", "--quiet", kind, "--out-dir", str(folder), str(ROOT)], check=True)
    (built,) = folder.glob("asgi_wsguard-0.1.0*")
    return built


def test_the_wheel(tmp_path: Path) -> None:
    wheel = build("--wheel", tmp_path)
    assert wheel.name == "asgi_wsguard-0.1.0-py3-none-any.whl"
    names = zipfile.ZipFile(wheel).namelist()
    assert {"asgi_wsguard/py.typed", "asgi_wsguard/probe/newest.json"} <= {*names}
    page = ROOT / "asgi_wsguard" / "demo" / "page"
    assert {f"asgi_wsguard/demo/page/{file.name}" for file in page.iterdir()} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"asgi_wsguard", "asgi_wsguard-0.1.0.dist-info"}


def test_the_source_distribution(tmp_path: Path) -> None:
    """It has what its tests and its docs need; the docs show the changes and how to contribute."""
    with tarfile.open(build("--sdist", tmp_path)) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    files = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "conftest.py", "mkdocs.yml"}
    assert files <= names
    assert {"docs/tables.py", "tests/docs/test_package.py", "scripts/test", "benchmarks/__main__.py"} <= names
