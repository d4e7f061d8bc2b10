"""Runs the Python code blocks of the README and of the docs as tests, and lets tests of the plugin run pytest."""

from __future__ import annotations

from typing import Any

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

pytest.register_assert_rewrite("harness")  # what tests share tells as much as they do where it fails


def _as_main(namespace: dict[str, Any]) -> None:
    namespace["__name__"] = "__main__"  # Litestar looks for the module of a handler


pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"], setup=_as_main).pytest()
pytest_plugins = ["pytester"]
