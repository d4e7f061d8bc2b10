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
        select: of those modules, the tests that run, as pytest's `-k` takes it.
        backend: its build backend, if the one in `backends/` is to stand in for it.
        python: the Python to run them with, if not this one.
        leave_out: modules that hold the text, but whose apps the plugin cannot reach.
        at_least: this many tests must pass with a websocket that went through the guard.
        changed: tests (all variants of each) that pass bare and may not pass guarded, and the clause that says why.
        varies: tests (all variants of each) that pass bare and may fail guarded, as their threads race, and the clause.
    """

    project: str
    release: str
    extras: str
    requirements: tuple[str, ...]
    opens: str
    at_least: int
    select: str = ""
    backend: str = ""
    python: str = ""
    leave_out: tuple[str, ...] = ()
    changed: Mapping[str, str] = field(default_factory=dict)
    varies: Mapping[str, str] = field(default_factory=dict)


# The archives of Channels, Quart and strawberry-graphql carry no tests.

REDIRECTS = dict.fromkeys(
    (
        "tests.middleware.test_http_to_https::test_http_to_https_redirect_middleware_websocket",
        "tests.middleware.test_http_to_https::test_http_to_https_redirect_middleware_websocket_http2",
    ),
    "H6: a body message without 'body' gets an empty one, since uvicorn raises KeyError without",
)

# Those that take longest first.
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
        project="falcon",
        release="4.4.0",
        extras="",
        requirements=("cbor2==6.3.0", "msgpack==1.2.4", "pytest==9.2.0", "pytest-asyncio==1.5.0"),
        opens="simulate_ws(",
        at_least=200,
        changed={
            "tests.asgi.test_ws::test_ws_responder_never_ready": "H1: the handshake is denied when the app returns"
        },
    ),
    Suite(
        project="gunicorn",
        release="27.0.1",
        extras="http2",
        requirements=("httpx==0.28.1", "pytest==9.2.0", "pytest-asyncio==1.5.0", "uvloop==0.23.0"),
        opens="WebSocketProtocol(",
        select="not TestWebSocketCloseFrame",  # each waits 5 s for a client that is not there
        at_least=25,
    ),
    Suite(
        project="httpx-ws",
        release="0.9.0",
        extras="",
        requirements=(
            "anyio==4.16.0",
            "pytest==9.2.0",
            "starlette==1.10.0",
            "trio==0.35.0",
            "uvicorn[standard]==0.54.0",
            "websockets==17.4",
            "wsproto==1.3.2",
        ),
        opens="websocket",
        select="test_transport or not trio",  # with its servers the backend is the client's
        at_least=60,
        changed={
            "tests.test_transport.TestASGIWebSocketAsyncNetworkStream::test_denial_response": (
                "H9: denied with a close, as its transport takes denial responses but does not declare the extension"
            ),
            "tests.test_transport.TestASGIWebSocketAsyncNetworkStream::test_exception": (
                "H2: denied, and the close carries no text of the exception"
            ),
            "tests.test_transport.TestASGIWebSocketAsyncNetworkStream::test_never_accepts": (
                "H1: denied when the app returns; bare, the client waits until its time-out"
            ),
            "tests.test_transport.TestASGIWebSocketAsyncNetworkStream::test_read_unhandled_asgi_message": (
                "H10: ProtocolViolation, where the unknown type is sent"
            ),
        },
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
        changed={
            "tests.test_websockets::test_duplicate_disconnect": (
                "E2: WebSocketDisconnected, too, does not go on to the server when the app ends because the client left"
            ),
        },
    ),
    Suite(
        project="granian",
        release="2.8.7",
        extras="",
        requirements=(
            "httpx==0.28.1",
            "pytest==9.2.0",
            "pytest-asyncio==1.5.0",
            "sniffio==1.3.1",
            "websockets==17.4",
        ),
        opens="websockets.connect(",
        select="ws and not rsgi and not wsgi and not mt",
        backend="maturin",
        at_least=6,
        changed={"tests.test_ws::test_reject": "H1: denied with 500, not 403, when the app returns"},
    ),
    Suite(
        project="litestar",
        release="2.13.0",  # the last whose archive carries tests
        extras="attrs,brotli,cryptography,jinja,jwt,mako,opentelemetry,picologging,prometheus,pydantic,redis,standard",
        requirements=(
            "anyio==4.16.0",
            "asyncpg==0.32.0",
            "beautifulsoup4==4.15.0",
            "httpx==0.27.2",
            "opentelemetry-sdk==1.45.2",
            "polyfactory==3.5.0",
            "psutil==7.2.2",
            "psycopg[binary]==3.3.9",
            "pytest==8.3.3",
            "pytest-asyncio==0.24.0",
            "pytest-lazy-fixtures==1.1.1",
            "pytest-mock==3.17.0",
            "time-machine==2.16.0",
            "trio==0.35.0",
        ),
        opens="websocket_connect(",
        select="(websocket or ws or listener) and not redis and not postgres",
        python="3.12",  # the last that picologging, which its tests import, has wheels for
        at_least=80,
        # They import the examples of Litestar's docs, which are not in the archive.
        leave_out=("tests/examples/test_middleware/test_abstract_middleware.py", "tests/examples/test_websockets.py"),
        changed=dict.fromkeys(
            (
                "tests.unit.test_testing.test_test_client::test_websocket_accept_timeout",
                "tests.unit.test_testing.test_test_client::test_websocket_accept_timeout_async",
            ),
            "H1: the handshake is denied when the app returns; bare, the client waits until its time-out",
        ),
        varies=dict.fromkeys(
            (
                "tests.unit.test_testing.test_test_client::test_websocket_test_session_block_timeout",
                "tests.unit.test_testing.test_test_client::test_websocket_test_session_block_timeout_async",
            ),
            "O1: the app returns, and its close may come before the client has looked for a message in vain",
        ),
    ),
    Suite(
        project="hypercorn",
        release="0.18.0",
        extras="trio",
        requirements=(
            "httpx==0.28.1",
            "hypothesis==6.170.17",
            "mock==5.2.0",
            "pytest==9.2.0",
            "pytest-asyncio==1.5.0",
            "pytest-trio==0.8.0",
            "trio==0.35.0",
        ),
        opens="websocket",
        at_least=3,
        changed=REDIRECTS,
    ),
    Suite(
        project="anycorn",
        release="0.18.0",  # the last whose archive carries tests
        extras="",
        requirements=("anyio==4.16.0", "httpx==0.28.1", "mock==5.2.0", "pytest==9.2.0", "trio==0.35.0"),
        opens="websocket",
        at_least=2,
        changed=REDIRECTS,
    ),
)
