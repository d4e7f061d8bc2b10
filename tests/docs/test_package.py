"""What is built is what users install."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

import uv

ROOT = Path(__file__).parents[2]


def test_the_wheel(tmp_path: Path) -> None:
    command = [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("asgi_wsguard-0.1.0-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"asgi_wsguard/py.typed", "asgi_wsguard/probe/seen.json"} <= {*names}
    page = ROOT / "asgi_wsguard" / "demo" / "page"
    assert {f"asgi_wsguard/demo/page/{file.name}" for file in page.iterdir()} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"asgi_wsguard", "asgi_wsguard-0.1.0.dist-info"}
