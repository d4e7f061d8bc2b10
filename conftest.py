"""Runs the Python code blocks of the README and of the docs as tests, and lets tests of the plugin run pytest."""

from __future__ import annotations

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

pytest_collect_file = Sybil(parsers=[PythonCodeBlockParser()], patterns=["*.md"]).pytest()
pytest_plugins = ["pytester"]
