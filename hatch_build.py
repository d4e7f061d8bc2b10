"""Builds the text for the package index: the README, whose links and pictures are relative to the repository.

With ``Repository`` in ``[project.urls]`` they lead there. Without, the text leaves them out.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

PICTURE = re.compile(r"<picture>.*?</picture>\n*", re.DOTALL)
FILE_OF_PICTURE = re.compile(r'(?<=src=")(?=docs/)|(?<=srcset=")(?=docs/)')
# An index gives headings no anchors, so that a link within the page leads nowhere, either.
ANCHOR = re.compile(r"\[([^]]+)]\(#[^)]+\)")
LINK = re.compile(r"\[([^]]+)]\((?!https?:|#)([^)]+)\)")
COMMENT = re.compile(r"<!--.*?-->\n?")


class ReadmeHook(MetadataHookInterface):
    """Sets ``project.readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the text."""
        readme = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = for_index(readme, metadata.get("urls", {}).get("Repository", ""))
        metadata["readme"] = {"content-type": "text/markdown", "text": text}


def for_index(readme: str, address: str) -> str:
    """Return the README with whole links into the repository, or with none if it has no address."""
    text = ANCHOR.sub(r"\1", COMMENT.sub("", readme))
    if not address:
        return LINK.sub(r"\1", PICTURE.sub("", text))
    address = address.rstrip("/")
    text = FILE_OF_PICTURE.sub(f"{address}/raw/main/", text)
    return LINK.sub(rf"[\1]({address}/blob/main/\2)", text)
