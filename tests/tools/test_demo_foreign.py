"""The demo answers its own page alone, and what it does not know with 404."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_wsguard.demo import app as demo
from asgi_wsguard.demo import server

pytestmark = pytest.mark.anyio


async def ask(path: str, host: str | None = "127.0.0.1:8000", origin: str | None = None, kind: str = "http") -> Any:
    """Return the status of the answer, or 403 for a close."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    headers = [(b"host", host), (b"Origin", origin)]
    scope = {
        "type": kind,
        "path": path,
        "headers": [(name, value.encode("latin-1")) for name, value in headers if value is not None],
        "subprotocols": [],
        "extensions": {},
    }
    await demo.app(scope, receive, send)  # type: ignore[arg-type]
    return sent[0].get("status", 403 if sent[0]["type"] == "websocket.close" else 101)


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (None, None),
        ("localhost:8000", None),
        ("LOCALHOST:8000", "http://localhost:8000"),
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("[::1]:8000", "http://[::1]:8000"),
        ("192.0.2.1", "https://192.0.2.1"),
    ],
)
async def test_its_own_page(host: str | None, origin: str | None) -> None:
    assert await ask("/", host, origin) == 200
    assert await ask("/bare/accepts-and-returns/own", host, origin, "websocket") == 101


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("rebound.example:8000", None),
        ("rebound.example:8000", "http://rebound.example:8000"),
        ("127.0.0.1:8000", "http://foreign.example"),
        ("127.0.0.1:8000", "http://127.0.0.1:9000"),
        ("127.0.0.1:8000", "null"),
        ("127.0.0.1:8000", "\xff"),
        ("[::1", None),
        ("", None),
        (None, "http://foreign.example"),
    ],
)
async def test_a_foreign_page(host: str | None, origin: str | None) -> None:
    for path in ("/", "/left/1/0", "/scenarios.json"):
        assert await ask(path, host, origin) == 403
    assert await ask("/bare/accepts-and-returns/foreign", host, origin, "websocket") == 403


async def test_the_name_that_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LISTENS", {})
    monkeypatch.setattr(server, "LISTENS", demo.LISTENS)
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **more: [(2, 1, 6, "", ("127.0.0.1", 0))])
    server.listen("Box.example", 0).close()
    assert await ask("/", "box.example:8000") == 200
    assert await ask("/", "other.example:8000") == 403


@pytest.mark.parametrize(
    "path", ["/left", "/left/", "/left/x", "/left/x/abc", "/left/x/nan", "/left/x/inf", "/left/x/-1", "/left/x/1/2"]
)
async def test_what_is_asked_by_halves(path: str) -> None:
    assert await ask(path) == 404
