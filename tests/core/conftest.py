"""Fixtures for every test here."""

from __future__ import annotations

from harness.backends import anyio_backend as anyio_backend
from harness.heap import pytest_collection_finish as pytest_collection_finish
from harness.heap import small_heap as small_heap
from harness.log import captured as captured
from harness.log import log as log
from harness.log import quiet as quiet
