"""The same tests on older releases of uvicorn, each on the newest Python that it takes with the libraries of its days.

The newest release is in `SERVERS`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from asgi_wsguard.probe.differences import NEVER_STUCK
from asgi_wsguard.probe.judge import run_scenario
from asgi_wsguard.probe.model import Closed, Refused, Vanish
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.servers import SERVERS, Running, Server, running
from harness import contract
from harness.environments import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


# What sends the reason of a close came with 0.14, the denial extension with 0.25, ASGI 2.4 with 0.29; sansio
# said 2.3 for longer.
OLDEST: Mapping[str, Any] = {"denial": False, "close_reason": False, "drops": True}
# websockets 8 does not know the close code 1012. The guard leaves the connection to the server, which cuts it (O11).
NO_1012 = {
    "accepts-and-is-cancelled": {"client_gets": Closed(1006), "logs": "ERROR O3", "raises": "invalid status code"}
}
# Up to 0.52.0 it adds a content-length to the one that the app has set.
TWO_LENGTHS = {"denies-with-length": {"client_gets": Refused("more than one of content-length")}}
# It comes with websockets 16.
NO_ASSERTION: dict[str, Any] = {"returns-in-vain": {}}
# It tells an app that only sends by an error of another library's that the client has left.
CONNECTION_CLOSED = {
    name: {"logs": "ERROR O2", "raises": "ConnectionClosed", "app_stays": 0.0}
    for name in ("pushes-until-left", "pushes-until-hung-up", "pushes-until-reset")
}
PROTOCOL_ERROR = {"pushes-until-left": {"logs": "ERROR O2", "raises": "LocalProtocolError", "app_stays": 0.0}}
HANDLER_IS_CLOSED = {
    name: {"logs": "ERROR O2", "raises": "the handler is closed", "app_stays": 0.0}
    for name in ("pushes-until-hung-up", "pushes-until-reset")
}
# It says ASGI 2.3, by which what is sent after the end is dropped, and raises.
RAISES = {
    "pushes-until-left": {"logs": "DEBUG E2", "app_stays": 0.0},
    "ignores-everything": {"logs": "WARNING O16"},
}
# Who sends to a client that does not read waits for ever, also when it has left.
STAYS_STUCK = {"returns-in-vain": {"steps": (), "logs": "DEBUG O1"}}
# It lets no app wait for a client that does not read.
UNSTUCK = {"sends-in-vain": NEVER_STUCK, "returns-in-vain": {"logs": "DEBUG O1"}}
# It tells of a client that has vanished only if the connection was reset.
NO_END_OF_STREAM = {
    **{
        name: {"logs": "ERROR H4", "raises": "the handler is closed"}
        for name in ("accepts-too-late", "denies-too-late", "never-decides")
    },
    **{name: {"steps": (Vanish(),)} for name in ("waits-until-hung-up", "pushes-until-hung-up")},
}


@dataclass(frozen=True)
class Release:
    """A release of uvicorn."""

    version: str
    python: str
    """websockets 8 does not run on 3.10, and httptools 0.5 and 0.6.1 have wheels up to 3.11 and 3.12."""
    libraries: str
    """Those that serve websockets, as the release's "standard" extra brought them when it came out."""
    servers: Mapping[str, Mapping[str, Any]]
    """How each differs from the newest of that name."""

    def environment(self) -> str:
        return environment(self.python, f"uvicorn=={self.version}", *self.libraries.split())

    def server(self, newest: Server) -> Server:
        differences = dict(self.servers[newest.name])
        differences["instead"] = {**newest.instead, **differences.get("instead", {})}
        return replace(newest, name=f"{newest.name}-{self.version}", **differences)


THE_OLDEST = {
    "uvicorn-websockets": {
        **OLDEST,
        "instead": {**NO_1012, **NO_ASSERTION, **CONNECTION_CLOSED},
        "own_errors": ("CancelledError", "IncompleteReadError", "ConnectionResetError"),
    },
    "uvicorn-wsproto": {**OLDEST, "instead": {**NO_END_OF_STREAM, **STAYS_STUCK}},
}

# httptools 0.1.1 and uvloop 0.14 have no wheels for 3.9, so the oldest get the next.
RELEASES = (
    Release(
        "0.13.2",
        "3.9",
        "websockets==8.1 wsproto==1.0.0 h11==0.11.0 httptools==0.1.2 uvloop==0.15.3",
        THE_OLDEST,
    ),
    Release(
        "0.13.3",
        "3.9",
        "websockets==8.1 wsproto==1.0.0 h11==0.11.0 httptools==0.1.2 uvloop==0.15.3",
        THE_OLDEST,
    ),
    Release(
        "0.20.0",
        "3.11",
        "websockets==10.4 wsproto==1.2.0 h11==0.14.0 httptools==0.5.0 uvloop==0.17.0",
        {
            "uvicorn-websockets": {
                "denial": False,
                "drops": True,
                "instead": {**NO_ASSERTION, **CONNECTION_CLOSED},
                "own_errors": ("IncompleteReadError", "ConnectionResetError"),
            },
            "uvicorn-wsproto": {"denial": False, "drops": True, "instead": {**PROTOCOL_ERROR, **STAYS_STUCK}},
        },
    ),
    Release(
        "0.30.6",
        "3.12",
        "websockets==12.0 wsproto==1.2.0 h11==0.14.0 httptools==0.6.1 uvloop==0.19.0",
        {"uvicorn-websockets": {"instead": NO_ASSERTION}, "uvicorn-wsproto": {"instead": STAYS_STUCK}},
    ),
    Release(
        "0.38.0",
        "3.13",
        "websockets==15.0.1 wsproto==1.2.0 h11==0.16.0 httptools==0.7.1 uvloop==0.22.1",
        {
            "uvicorn-websockets": {"instead": NO_ASSERTION},
            "uvicorn-wsproto": {"instead": STAYS_STUCK},
            "uvicorn-sansio": {"drops": True, "instead": {**TWO_LENGTHS, **UNSTUCK, **HANDLER_IS_CLOSED, **RAISES}},
        },
    ),
    Release(
        "0.50.2",
        "3.13",
        "websockets==16.0 wsproto==1.3.2 h11==0.16.0 httptools==0.8.0 uvloop==0.22.1",
        {
            "uvicorn-websockets": {},
            "uvicorn-wsproto": {},
            "uvicorn-sansio": {"instead": {**TWO_LENGTHS, **UNSTUCK, **HANDLER_IS_CLOSED}},
        },
    ),
)

SERVED = [
    pytest.param((release, release.server(newest)), id=release.server(newest).name)
    for release in RELEASES
    for newest in SERVERS
    if newest.name in release.servers
]


@pytest.fixture(scope="module", params=SERVED)
def served(request: pytest.FixtureRequest) -> Iterator[Running]:
    release, server = request.param
    with running(server, python=release.environment()) as process:
        yield process


test_server_starts = contract.server_starts
test_contract_holds = contract.contract_holds
test_log_is_clean = contract.log_is_clean


def test_without_the_guard_it_does_not(served: Running) -> None:
    """Show that these tests can fail."""
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("accepts-and-raises", "sends-both")]
    results = [run_scenario(served, scenario, guarded=False, patience=1.0) for scenario in scenarios]
    assert [bool(result.faults) for result in results] == [True, True]


test_sigterm_stops_it_at_once = contract.sigterm_stops_it_at_once


def test_without_the_guard_the_origin_keeps_a_task_for_each_client() -> None:
    (origin,) = (param.values[0] for param in SERVED if param.id == "uvicorn-websockets-0.13.2")
    release, server = origin
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in ("returns", "raises", "data-first")]
    with running(server, python=release.environment()) as process:
        left = [run_scenario(process, scenario, guarded=False, patience=0.5).left["tasks"] for scenario in scenarios]
    assert left == [["WebSocketServerProtocol.handler"] * clients for clients in (1, 2, 3)]


def test_every_release_has_its_servers() -> None:
    assert len(SERVED) == sum(len(release.servers) for release in RELEASES)
