"""The same over TLS, on every server: each serves it by itself.

The certificate comes from an intermediate CA; the client knows the root only.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trustme

from asgi_wsguard.probe.client import TLS, visit
from asgi_wsguard.probe.client.wire import Wire
from asgi_wsguard.probe.servers import SERVERS, Running, running
from asgi_wsguard.probe.tls import over_tls
from harness import contract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "guard.test"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what a server needs, as certbot names it, and with the bundles of two root CAs."""
    folder = tmp_path_factory.mktemp("certificates")
    root = trustme.CA()
    leaf = root.create_child_ca().issue_cert(NAME, "127.0.0.1")
    cert, chain = (pem.bytes() for pem in leaf.cert_chain_pems)
    for name, content in {
        "privkey.pem": leaf.private_key_pem.bytes(),
        "cert.pem": cert,
        "chain.pem": chain,
        "fullchain.pem": cert + chain,
        "root.pem": root.cert_pem.bytes(),
        "other.pem": trustme.CA().cert_pem.bytes(),
    }.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.name)
def served(request: pytest.FixtureRequest, certificates: Path) -> Iterator[Running]:
    tls = TLS(str(certificates / "root.pem"), NAME)
    with running(over_tls(request.param), folder=certificates, tls=tls) as process:
        yield process


test_contract_holds = contract.contract_holds
test_a_crash_path_denies_with_500 = contract.a_crash_path_denies_with_500
test_without_the_guard_it_does_not = contract.without_the_guard_it_does_not


# What a server logs of a client that refuses it may come late, so these are not before the contract.


def test_handshake(served: Running) -> None:
    http2 = served.server.http == 2
    wire = Wire(served.port, time.monotonic() + 5, served.tls, "h2" if http2 else "http/1.1")
    with wire.socket as connection:
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() in (("h2",) if http2 else ("http/1.1", None))


def test_a_client_that_does_not_know_the_root_refuses(served: Running, certificates: Path) -> None:
    tls = replace(served.tls, bundle=str(certificates / "other.pem"))
    with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer certificate"):
        visit(served.port, "/", http=served.server.http, tls=tls)


def test_a_client_that_asks_for_another_name_refuses(served: Running) -> None:
    tls = replace(served.tls, name="other.test")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        visit(served.port, "/", http=served.server.http, tls=tls)


test_log_is_clean = contract.log_is_clean
test_sigterm_stops_it_at_once = contract.sigterm_stops_it_at_once
