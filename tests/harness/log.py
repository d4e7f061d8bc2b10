"""The guard's own log lines."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


class Log:
    """The guard's own lines."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def lines(self, level: int = logging.INFO) -> list[str]:
        records = [record for record in self._caplog.records if record.name == "asgi_wsguard"]
        return [f"{record.levelname} {record.getMessage()}" for record in records if record.levelno >= level]

    def line(self) -> str:
        (line,) = self.lines()
        return line


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG, "asgi_wsguard"):
        yield Log(caplog)


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    logging.getLogger("asgi_wsguard").disabled = True
    yield
    logging.getLogger("asgi_wsguard").disabled = False


@pytest.fixture
def captured(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, "asgi_wsguard")
    return caplog
