"""The demo's ASGI app: the page's files, and the probe's app, which here keeps the visits apart.

``GET /scenarios.json`` returns the scenarios of the page. ``GET /left/<visit>/<seconds>`` is as in the probe's app, but
has only the tasks of that visit, because many may run at once, and the status of the server's answer to the handshake.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import partial
from importlib.metadata import version
from ipaddress import ip_address
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio

from asgi_wsguard.contract import CLAUSES, SECTIONS
from asgi_wsguard.demo.browser import described, obstacle
from asgi_wsguard.demo.wire import statuses
from asgi_wsguard.probe import app as probe
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.testing.tasks import claimed, owned

if TYPE_CHECKING:
    from asgi_wsguard.probe.model import Message, Receive, Scope, Send

FILES = {file.name: file for file in Path(__file__).parent.joinpath("page").iterdir()}
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = (
    (b"cache-control", b"no-cache"),
    (
        b"content-security-policy",
        b"default-src 'none'; connect-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)

LISTENS: dict[str, str] = {}
"""The ``host`` that the demo listens on, if the user gave a name."""

_running: dict[str, int] = {}
"""The visits whose app is running, each with the id of the task that the server runs it in."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve the page and its websockets, and nothing to other sites' pages."""
    if scope["type"] != "lifespan" and not _is_own(scope):
        await _refuse(scope, send)
    elif scope["type"] == "websocket":
        await _visit(scope, receive, send)
    elif scope["type"] == "http":
        await _answer(scope, receive, send)
    else:
        await probe.app(scope, receive, partial(_until_shutdown, send))


def _is_own(scope: Scope) -> bool:
    """Return whether the browser addressed this server by a name that no attacker can choose.

    Another site's page has another origin. A name rebound to this address (DNS rebinding) is not an IP address.
    """
    headers = {name.lower(): value.decode("latin-1").lower() for name, value in scope["headers"]}
    host, origin = headers.get(b"host", "localhost"), headers.get(b"origin")
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name != "localhost" and name != LISTENS.get("host"):
            ip_address(name)
    except ValueError:
        return False
    return origin is None or origin in (f"http://{host}", f"https://{host}")


async def _refuse(scope: Scope, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
    else:
        await _send(send, 403, "text/plain", b"Forbidden")


async def _until_shutdown(send: Send, message: Message) -> None:
    """Send a lifespan message. Before the last one, end the apps that would keep the server from stopping."""
    if message["type"] == "lifespan.shutdown.complete":
        for number in [*_running]:
            await probe.left(number, 0, Counter)
    await send(message)


async def _visit(scope: Scope, receive: Receive, send: Send) -> None:
    number = scope["path"].rpartition("/")[2]
    _running[number] = anyio.get_current_task().id
    try:
        with claimed(number):
            await probe.app(scope, receive, send)
    finally:
        del _running[number]


async def _answer(scope: Scope, receive: Receive, send: Send) -> None:
    asked, *more = scope["path"][1:].split("/")
    file = FILES.get("/".join([asked or "index.html", *more]))
    if asked == "reached":
        await probe.app(scope, receive, send)
    elif asked == "left":
        await _answer_left(send, *more)
    elif asked == "scenarios.json":
        await _send_json(send, _scenarios())
    elif file is not None:
        await _send(send, 200, TYPES[file.suffix], file.read_bytes())
    else:
        await _send(send, 404, "text/plain", b"Not Found")


async def _answer_left(send: Send, *asked: str) -> None:
    try:
        number, seconds = asked[0], float(asked[1])
        found = len(asked) == 2 and 0 <= seconds < inf
    except (IndexError, ValueError):
        found = False
    if found:
        await _send_json(send, await _left(number, seconds))
    else:
        await _send(send, 404, "text/plain", b"Not Found")


async def _left(number: str, seconds: float) -> dict[str, Any]:
    def tasks() -> Counter[str]:
        return Counter(task.name for task in owned(number) if id(task.task) != _running.get(number))

    left = await probe.left(number, seconds, tasks)
    return {**left, "status": statuses.pop(number, None)}


def _scenarios() -> dict[str, Any]:
    """Return the content of the page."""
    left_out: dict[str, list[str]] = {}
    for scenario in SCENARIOS:
        if obstacle(scenario):
            left_out.setdefault(obstacle(scenario), []).append(f"{scenario.clause} {scenario.title}")
    return {
        "server": f"uvicorn {version('uvicorn')}",
        "scenarios": [described(scenario) for scenario in SCENARIOS if not obstacle(scenario)],
        "sections": SECTIONS,
        "clauses": {clause.id: clause._asdict() for clause in CLAUSES.values()},
        "left_out": left_out,
    }


async def _send_json(send: Send, answer: Any) -> None:
    await _send(send, 200, "application/json", json.dumps(answer).encode())


async def _send(send: Send, status: int, kind: str, body: bytes) -> None:
    headers = [(b"content-type", f"{kind}; charset=utf-8".encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *HEADERS]})
    await send({"type": "http.response.body", "body": body})
