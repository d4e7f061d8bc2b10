"""A Python that is missing fails in CI, and is a skipped test elsewhere."""

from __future__ import annotations

import pytest

from harness.environments import find_python


def test_a_missing_python_fails_in_ci(monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(RuntimeError, match=r"Python 2\.0 is needed"):
        find_python("2.0")


def test_a_missing_python_skips_elsewhere(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"Python 2\.0 is needed"):
        find_python("2.0")
