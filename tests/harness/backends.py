"""Every async test runs on asyncio and on trio. Random choices are the same in every run."""

from __future__ import annotations

import os
from typing import Any

import hypothesis
import pytest
import trio

# `HYPOTHESIS_PROFILE=explore pytest tests/core` tries more, and different, examples each time; `brief` tries few.
_SAME = {"deadline": None, "report_multiple_bugs": False, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("same", derandomize=True, database=None, max_examples=200, **_SAME)
hypothesis.settings.register_profile("brief", derandomize=True, database=None, max_examples=40, **_SAME)
hypothesis.settings.register_profile("explore", max_examples=8_000, **_SAME)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "same")
hypothesis.settings.load_profile(PROFILE)

# Trio shuffles its tasks, so hypothesis has to control its random generator.
trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING = True
hypothesis.register_random(trio._core._run._r)


@pytest.fixture(params=["asyncio", "trio"], scope="module")
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(name="anyio_backend")
def asyncio_only() -> str:
    """For a test module that imports it, for example because Channels runs on asyncio only."""
    return "asyncio"


on_asyncio = pytest.mark.parametrize("anyio_backend", ["asyncio"])
on_each_server = pytest.mark.parametrize("denial_extension", [True, False], ids=["denial", "no denial"])

in_memory = pytest.mark.anyio
on_trio = pytest.mark.parametrize("anyio_backend", ["trio"])
