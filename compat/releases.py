"""The releases that are measured, and the environment of each: the Python and the libraries of its day."""

from __future__ import annotations

import datetime
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import tomllib
import uv

from asgi_wsguard.probe.servers import SERVERS, Server
from compat.environments import environment

PYTHONS = {"3.13": "2024-10-07", "3.12": "2023-10-02", "3.11": "2022-10-24", "3.10": "2021-10-04"}
"""The date of each release. Before these, it was 3.9."""

WHEELS = datetime.timedelta(days=180)
"""The time until the servers' libraries have wheels for a new Python."""


@dataclass(frozen=True)
class Package:
    """A package whose releases are measured."""

    name: str
    servers: Mapping[str, str]
    """Its servers, by their names in `SERVERS`, and the release that introduced each."""
    measured: str
    """The releases: of each minor one the last patch, and the first where something changed; the oldest first."""
    extras: str = ""
    libraries: tuple[str, ...] = ()
    """The libraries that matter for the results."""
    also: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The packages to install with it, since the given release."""
    newer: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The packages, up to the given release, that have to be newer than at its date, for the guard to work."""
    commands: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The part of the commands to replace, and its replacement, up to the given release."""

    @property
    def releases(self) -> list[str]:
        """The versions."""
        return self.measured.split()

    def served(self, version: str) -> Iterator[Server]:
        """Yield the servers that the release has."""
        for server in SERVERS:
            if server.name in self.servers and not self._before(version, self.servers[server.name]):
                command = server.command
                for last, (old, new) in self.commands.items():
                    if not self._before(last, version):
                        command = command.replace(old, new)
                yield replace(server, command=command)

    def environment(self, version: str, date: str, python: str) -> str:
        """Return the interpreter of an environment with the release, and the libraries of that date."""
        since = [more for first, more in self.also.items() if not self._before(version, first)]
        up_to = [more for last, more in self.newer.items() if not self._before(last, version)]
        next_day = datetime.date.fromisoformat(date) + datetime.timedelta(days=1)
        return environment(
            python,
            *sum(up_to, ()),
            first=(f"{self.name}{self.extras}=={version}", *sum(since, ())),
            until=next_day.isoformat(),
        )

    def date(self, version: str) -> str:
        """Ask the package index when the release came out."""
        command = [uv.find_uv_bin(), "pip", "compile", "--quiet", "--no-deps", "--format", "pylock.toml", "-"]
        requirement = f"{self.name}=={version}"
        locked = subprocess.run(command, input=requirement, capture_output=True, text=True, check=True).stdout
        (package,) = tomllib.loads(locked)["packages"]
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        return str(min(file["upload-time"] for file in files).date())

    def _before(self, version: str, other: str) -> bool:
        return self.releases.index(version) < self.releases.index(other)


def python_of(date: str) -> str:
    """Return the newest Python that servers of that date run on."""
    day = datetime.date.fromisoformat(date)
    return next((python for python, out in PYTHONS.items() if datetime.date.fromisoformat(out) + WHEELS <= day), "3.9")


PACKAGES = (
    Package(
        "uvicorn",
        {"uvicorn-websockets": "0.13.2", "uvicorn-wsproto": "0.13.2", "uvicorn-sansio": "0.35.0"},
        "0.13.2 0.13.3 0.13.4 0.14.0 0.15.0 0.16.0 0.17.0.post1 0.17.6 0.18.0 0.18.3 0.19.0 0.20.0 0.21.1 0.22.0 "
        "0.23.0 0.23.2 0.24.0.post1 0.25.0 0.26.0 0.27.1 0.28.1 0.29.0 0.30.6 0.31.1 0.32.1 0.33.0 0.34.3 0.35.0 "
        "0.36.1 0.37.0 0.38.0 0.39.0 0.40.0 0.41.0 0.42.0 0.43.0 0.44.0 0.45.0 0.46.0 0.47.0 0.48.0 0.49.0 0.50.2 "
        "0.51.0 0.52.0 0.52.4 0.53.0 0.54.0",
        extras="[standard]",
        libraries=("websockets", "wsproto", "h11", "httptools", "uvloop"),
        also={"0.13.2": ("wsproto",)},
    ),
    Package(
        "hypercorn",
        {"hypercorn-asyncio": "0.11.2", "hypercorn-trio": "0.11.2", "hypercorn-http2": "0.11.2"},
        "0.11.2 0.12.0 0.13.0 0.13.2 0.14.0 0.14.4 0.15.0 0.16.0 0.17.3 0.18.0",
        extras="[trio]",
        libraries=("wsproto", "h11", "h2", "trio"),
        newer={"0.15.0": ("trio==0.23.2",)},
        # It keeps a task for each idle connection until it cuts that.
        commands={"0.12.0": ("-m hypercorn", "-m hypercorn --keep-alive 1")},
    ),
    Package(
        "daphne",
        {"daphne": "3.0.2"},
        "3.0.2 4.0.0 4.1.2 4.2.3",
        libraries=("twisted", "autobahn", "asgiref"),
    ),
    Package(
        "granian",
        {"granian": "0.5.3"},
        "0.5.3 0.6.1 0.7.6 1.0.2 1.1.2 1.2.3 1.3.2 1.4.4 1.5.2 1.6.4 1.7.6 2.0.1 2.1.0 2.1.2 2.2.6 "
        "2.3.0 2.3.4 2.4.2 2.5.0 2.5.7 2.6.1 2.7.0 2.7.9 2.8.0 2.8.7",
        libraries=("uvloop",),
    ),
    Package(
        "gunicorn",
        {"gunicorn-uvicorn": "20.1.0", "gunicorn-asgi": "24.0.0"},
        "20.1.0 21.2.0 22.0.0 23.0.0 24.0.0 24.1.1 25.0.0 25.0.3 25.1.0 25.2.0 25.3.0 26.0.0 26.1.0 26.2.0 27.0.0 "
        "27.0.1",
        libraries=("uvicorn", "uvicorn-worker", "websockets", "h11", "httptools", "uvloop"),
        also={"20.1.0": ("uvicorn[standard]",), "23.0.0": ("uvicorn-worker",)},
        commands={
            "25.0.3": ("--no-control-socket ", ""),
            "22.0.0": ("uvicorn_worker.UvicornWorker", "uvicorn.workers.UvicornWorker"),
        },
    ),
)

MEASURED = (
    "returns",
    "raises",
    "cancelled",
    "awaits",
    "closes-first",
    "denies",
    "starts-and-returns",
    "returns-inside-body",
    "data-first",
    "broken-header",
    "accepts-too-late",
    "answers-late",
    "unoffered-subprotocol",
    "accepts-and-returns",
    "accepts-and-raises",
    "accepts-and-is-cancelled",
    "closes",
    "closes-at-length",
    "closes-1006",
    "closes-99999",
    "closes-twice",
    "closes-after-leaving",
    "sends-after-close",
    "sends-after-leaving",
    "loops-after-leaving",
    "sends-both",
    "waits-until-left",
)
"""The scenarios for the releases: for each clause, what clients and apps meet most, and nothing that takes long."""
