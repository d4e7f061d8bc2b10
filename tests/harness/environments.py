"""Environments for other releases; a Python that is missing fails in CI, and is a skipped test elsewhere."""

from __future__ import annotations

import os
import shutil

import pytest

from compat import environments


def environment(version: str, *requirements: str) -> str:
    """Return the interpreter of an environment with that Python, this project and those requirements."""
    find_python(version)
    return environments.environment(version, *requirements)


def find_python(version: str) -> str:
    """Return the interpreter of that version.

    Raises:
        MissingPython: there is none, and this is CI; elsewhere the test is skipped.
    """
    try:
        return environments.find_python(version)
    except environments.MissingPython as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing))


def program(name: str, package: str) -> str:
    """Return the path of a program that a Debian package has.

    Raises:
        RuntimeError: there is none, and this is CI; elsewhere the test is skipped.
    """
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if path is None:
        missing = f"{name} is missing: scripts/debian {package}"
        if "CI" in os.environ:
            raise RuntimeError(missing)
        pytest.skip(missing)
    return path
