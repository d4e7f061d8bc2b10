"""Stands in for maturin, which resolves a project's Rust dependencies over the network to tell its metadata.

`pip download` asks for the metadata, and every source archive carries it.
"""

from __future__ import annotations

import shutil
from pathlib import Path


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    folder = Path(metadata_directory, "archive.dist-info")
    folder.mkdir()
    shutil.copy("PKG-INFO", folder / "METADATA")
    return folder.name
