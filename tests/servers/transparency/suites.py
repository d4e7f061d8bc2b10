"""Whose tests run behind the guard, and which of them assert what the contract changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """The websocket tests in one project's source archive.

    Attributes:
        project: its name on PyPI.
        release: the pinned release.
        extras: what to install of it.
        requirements: what its tests need besides.
        opens: text that a test module with websockets in it holds.
        leave_out: modules that hold the text, but whose apps the plugin cannot reach.
        at_least: this many tests must pass with a websocket that went through the guard.
        changed: tests (all variants of each) that pass bare and may not pass guarded, and the clause that says why.
        varies: tests that pass bare and may fail guarded, as their threads race, and the clause that says why.
    """

    project: str
    release: str
    extras: str
    requirements: tuple[str, ...]
    opens: str
    at_least: int
    leave_out: tuple[str, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)
    varies: Mapping[str, str] = field(default_factory=dict)


SUITES = (
    Suite(
        project="uvicorn",
        release="0.54.0",
        extras="standard",
        requirements=(
            "httpx2==2.16.2",
            "pytest==9.2.0",
            "websockets==17.4",
            "wsproto==1.3.2",
            "zttp==0.0.35",
        ),
        opens="ws://",
        at_least=400,
        changed={
            "tests.protocols.test_websocket::test_asgi_return_value": "O1: close 1000, not 1006, when the app returns",
            "tests.protocols.test_websocket::test_close_transport_on_asgi_return": "O1: likewise",
            "tests.protocols.test_websocket::test_duplicate_handshake": "O2: close 1011, not 1006, when the app raises",
            "tests.protocols.test_websocket::test_server_multiple_websocket_http_response_start_events": (
                "H10: the second start raises with the text of ProtocolViolation, not with uvicorn's"
            ),
            **dict.fromkeys(
                (
                    "tests.protocols.test_websocket::test_server_reject_connection_with_invalid_status[wsproto-h11]",
                    "tests.protocols.test_websocket::test_server_reject_connection_with_invalid_status[wsproto-httptools]",
                    "tests.protocols.test_websocket::test_server_reject_connection_with_invalid_status[wsproto-zttp]",
                ),
                "H2: the guard's own 500 leaves content-length to the server, and uvicorn on wsproto adds none",
            ),
        },
    ),
    Suite(
        project="starlette",
        release="1.10.0",
        extras="full",
        requirements=(
            "anyio==4.16.0",
            "blockbuster==1.5.29",
            "httpx2[zstd]==2.16.2",
            "opentelemetry-sdk==1.45.2",
            "pytest==9.2.0",
            "trio==0.35.0",
        ),
        opens="websocket_connect(",
        at_least=125,
    ),
    Suite(
        project="fastapi",
        release="0.165.0",
        extras="all",
        requirements=(
            "dirty-equals==0.11",
            "inline-snapshot==0.36.1",
            "opentelemetry-sdk==1.45.2",
            "pytest==9.1.1",
            "pytest-xdist==3.8.0",
            "starlette==1.10.0",
            "trio==0.35.0",
        ),
        opens="websocket",
        leave_out=(
            # They run their apps in processes of their own.
            "tests/test_telemetry/test_integrations.py",
            "tests/test_telemetry/test_native_integrations.py",
        ),
        at_least=100,
        changed=dict.fromkeys(
            (
                "tests.test_telemetry.test_websockets::test_client_disconnect",
                "tests.test_tutorial.test_websockets.test_tutorial001::test_websocket",
                "tests.test_tutorial.test_websockets.test_tutorial002::test_websocket_with_cookie",
                "tests.test_tutorial.test_websockets.test_tutorial002::test_websocket_with_header",
                "tests.test_tutorial.test_websockets.test_tutorial002::test_websocket_with_header_and_query",
            ),
            "E2: WebSocketDisconnect does not go on to the server when the app ends because the client left",
        ),
    ),
    Suite(
        project="daphne",
        release="4.2.3",
        extras="tests",
        requirements=("hypothesis==6.170.15", "pytest==9.2.0", "twisted==26.10.0"),
        opens="websocket_handshake(",
        at_least=10,
        varies=dict.fromkeys(
            (
                "tests.test_websocket.TestWebsocket::test_websocket_max_frame_size",
                "tests.test_websocket.TestWebsocket::test_websocket_max_message_size",
            ),
            "O8: the app receives on after the disconnect, and gets it again; bare, daphne lets it wait for ever",
        ),
    ),
)
