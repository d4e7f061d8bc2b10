"""Keeps the garbage collector quick: many tests call it, and so does each run of pytest."""

from __future__ import annotations

import gc

import hypothesis
import pytest


@hypothesis.given(hypothesis.strategies.none())
def nothing(_: None) -> None:
    """An example, so that hypothesis registers its own random generator: it asks the collector who refers to that."""


def pytest_collection_finish() -> None:
    """Hide from the collector all modules and tests. For a `conftest.py`."""
    nothing()
    gc.collect()
    gc.freeze()


@pytest.fixture
def small_heap() -> None:
    """Hide from the collector, and from whoever asks it for all objects, those that are older than the test."""
    gc.collect()
    gc.freeze()
