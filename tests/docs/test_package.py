"""What is built is what users install."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import uv
from readme_renderer.markdown import render

import asgi_wsguard

ROOT = Path(__file__).parents[2]
VERSION = asgi_wsguard.__version__
INFO = f"asgi_wsguard-{VERSION}.dist-info"
ADDRESS = "https://forge.example/asgi/wsguard"


def build(folder: Path, *options: str, source: Path = ROOT) -> Path:
    subprocess.run([uv.find_uv_bin(), "build", "--quiet", *options, "--out-dir", str(folder), str(source)], check=True)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with the source distribution, and the wheel that was built from it."""
    return build(tmp_path_factory.mktemp("built"))


def description(wheel: Path) -> str:
    """Return the page of the package index, in HTML."""
    metadata = message_from_string(zipfile.ZipFile(wheel).read(f"{INFO}/METADATA").decode())
    assert metadata["Description-Content-Type"] == "text/markdown"
    rendered = render(metadata.get_payload())
    assert isinstance(rendered, str)
    return rendered


def links(page: str) -> set[str]:
    """Return where the page leads, but for the index's own anchors of headings."""
    found = re.findall(r' (?:href|src|srcset)="([^"]*)"', page)
    return {link for link in found if not link.startswith("#user-content-")}


def test_the_wheel(built: Path) -> None:
    """It has the package and nothing else: no tests, and no data of tests."""
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"asgi_wsguard-{VERSION}-py3-none-any.whl"
    names = {*zipfile.ZipFile(wheel).namelist()}
    others = {name for name in names if not name.startswith(f"{INFO}/") and not name.endswith(".py")}
    page = {f"asgi_wsguard/demo/page/{file.name}" for file in (ROOT / "asgi_wsguard" / "demo" / "page").iterdir()}
    assert others == {"asgi_wsguard/py.typed", "asgi_wsguard/probe/newest.json", *page}
    assert f"{INFO}/licenses/LICENSE" in names
    assert {name.split("/")[0] for name in names} == {"asgi_wsguard", INFO}


def test_the_source_distribution(built: Path) -> None:
    """It has what its tests and its docs need; the docs show the changes and how to contribute."""
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    files = {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "conftest.py", "mkdocs.yml"}
    assert files | {"hatch_build.py"} <= names
    assert {"docs/tables.py", "tests/docs/test_package.py", "scripts/test", "benchmarks/__main__.py"} <= names


def test_the_package_index_takes_both(built: Path) -> None:
    subprocess.run([sys.executable, "-m", "twine", "check", "--strict", *built.glob("asgi_wsguard-*")], check=True)


def test_no_link_of_the_text_on_the_index_is_dead(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    page = description(wheel)
    assert "Graceful shutdown.</strong>" in page
    assert "<!--" not in page
    assert "<table>" in page
    assert {link for link in links(page) if not link.startswith("https://")} == set()
    assert "<img" not in page


def test_with_an_address_the_text_on_the_index_has_its_links_and_its_picture(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "asgi_wsguard", source / "asgi_wsguard")
    for name in ("README.md", "LICENSE", "hatch_build.py"):
        shutil.copy(ROOT / name, source)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert project.count("[project.urls]\n") == 1
    project = project.replace("[project.urls]\n", f'[project.urls]\nRepository = "{ADDRESS}/"\n')
    Path(source, "pyproject.toml").write_text(project, encoding="utf-8")
    (wheel,) = build(tmp_path / "built", "--wheel", source=source).glob("*.whl")
    found = links(description(wheel))
    assert {f"{ADDRESS}/raw/main/docs/images/before-after-light.png", f"{ADDRESS}/blob/main/docs/drain.md"} <= found
    for link in found:
        assert link.startswith("https://")
        if link.startswith(ADDRESS):
            assert Path(ROOT, link.split("/main/")[1].partition("#")[0]).is_file(), link
