"""`asgi-wsguard check` finds the routes of apps that work, and nothing wrong with them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from asgi_wsguard.check import in_memory
from asgi_wsguard.check.findings import Finding, Findings
from asgi_wsguard.check.routes import Route, websocket_routes
from asgi_wsguard.check.visits import Question
from asgi_wsguard.compare.journal import JOURNAL
from harmless.apps import apps

APPS = {app.name: app for app in apps()}
GRAPHQL = {"subprotocols": ("graphql-transport-ws",), "messages": ('{"type": "connection_init"}',)}
CHAT = {"subprotocols": ("chat",), "messages": ("hello",)}
# An app of each framework, the routes that must be found, and what its clients say.
VISITED: dict[str, tuple[list[str], dict[str, Any]]] = {
    "ariadne-subscribes": (["/"], GRAPHQL),
    "blacksheep-echo": (["/", "/once/{name}", "/returns"], CHAT),
    "channels-refuses": (["/"], {}),
    "a consumer of Channels": (["/"], {"messages": ("hello",)}),
    "falcon-echo": (["/echo", "/media", "/sends", "/forbids", "/closes"], {"subprotocols": ("chat",)}),
    "fastapi-dependencies": (["/v1/api/{name}", "/v1/api/early/{name}", "/v1/token"], {}),
    "fastapi-connection-manager": (["/ws/{client_id}"], {"messages": ("hello",)}),
    "llm-stream": (["/"], {"messages": ("hello",)}),
    "litestar-listener": (["/listener", "/class", "/handler", "/unauthorized", "/stream"], CHAT),
    "nicegui-clicks": (["/_nicegui_ws/socket.io/?EIO=4&transport=websocket"], {"messages": ("40",)}),
    "quart-finally": (["/", "/once", "/returns", "/forbidden", "/sends"], CHAT),
    "starlette-middlewares": (["/inner/{name}"], {}),
    "long-cleanup-except": (["/except", "/finally", "/dependency", "/close", "/shield", "/denial"], {}),
    "socketio-websocket": (["/socket.io/?EIO=4&transport=websocket"], {"messages": ("40",)}),
    "strawberry-subscribes": (["/"], GRAPHQL),
}


@pytest.fixture(autouse=True)
def _a_journal_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(JOURNAL, str(tmp_path / "journal"))


class Echo(AsyncWebsocketConsumer):
    """The others want a database."""

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data, bytes_data)


@pytest.mark.parametrize("name", VISITED)
def test_an_app_that_works_has_no_findings(name: str) -> None:
    expected, asked = VISITED[name]
    app = APPS[name].around(APPS[name].make()) if name in APPS else Echo.as_asgi()
    routes = websocket_routes(app) or [Route("/")]
    assert [str(route) for route in routes] == expected
    found: list[Finding] = []
    findings = Findings(found.append)
    paths = [route.filled(dict.fromkeys(route.parameters, "ann")).path for route in routes]
    anyio.run(in_memory.check, app, [Question(path=path, timeout=10.0, **asked) for path in paths], findings)
    assert [f"{one.place} {one.clause}: {one.what} ({one.where})" for one in found] == []
    assert findings.visits >= 2 * len(routes)
