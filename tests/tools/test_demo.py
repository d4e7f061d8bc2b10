"""The demo: what a browser can run, the app behind the page, and the command that serves it."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING, Any, Callable

import anyio
import pytest

from asgi_wsguard.cli.commands import commands
from asgi_wsguard.contract import CLAUSES
from asgi_wsguard.demo import app as demo
from asgi_wsguard.demo import server
from asgi_wsguard.demo.browser import described, obstacle, promised, seen
from asgi_wsguard.demo.wire import Overheard, statuses
from asgi_wsguard.probe import app as probe
from asgi_wsguard.probe.model import Closed, Cut, Denied, Gone, Leave, OneOf, Pause, Say, Scenario, Until, Vanish
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.testing import StrictServer

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    probe._visits.clear()
    probe._served.cache_clear()
    statuses.clear()


# What a browser can run.


def scenario(**more: Any) -> Scenario:
    return Scenario("test", "H1", "tests", app=demo.app, **{"client_gets": Gone(), **more})


@pytest.mark.parametrize(
    ("what", "more"),
    [
        ("", {"early": (Until("waiting"), Vanish(reset=False)), "steps": (Say("hello"), Pause(0.1), Leave())}),
        ("offer a subprotocol", {"offers": ("chat",)}),
        ("stop reading", {"steps": (Until(),)}),
        ("leave an open websocket without a close frame", {"steps": (Vanish(reset=False),)}),
        ("reset a connection", {"early": (Until("waiting"), Vanish())}),
        ("hang up right after its request", {"early": (Vanish(reset=False),)}),
    ],
)
def test_what_a_browser_cannot_run(what: str, more: dict[str, Any]) -> None:
    assert obstacle(scenario(**more)).startswith(what)
    assert bool(obstacle(scenario(**more))) == bool(what)


def test_a_browser_runs_most_scenarios_of_every_clause_but_few() -> None:
    runs = [one for one in SCENARIOS if not obstacle(one)]
    assert len(runs) > 0.8 * len(SCENARIOS)
    assert {one.clause for one in SCENARIOS} - {one.clause for one in runs} == {"H14", "O15", "E4"}


REFUSED = {"opened": False, "code": 1006, "reason": "", "messages": []}


@pytest.mark.parametrize(
    ("outcome", "words", "sees"),
    [
        (Denied(503), ["refused with 503"], [{**REFUSED, "status": 503}]),
        (Cut(401), ["cut"], [{**REFUSED, "status": None}]),
        (Gone(), ["the client left"], [{**REFUSED, "status": None}]),
        (
            Closed(4001, "done", ("one", b"two")),
            ["closed with 4001 “done”"],
            [{"opened": True, "code": 4001, "reason": "done", "messages": ["one", "b'two'"], "status": None}],
        ),
        (
            OneOf((Denied(503), Closed(1000, messages=None))),
            ["refused with 503", "closed with 1000"],
            [
                {**REFUSED, "status": 503},
                {"opened": True, "code": 1000, "reason": "", "messages": None, "status": None},
            ],
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_a_browser_sees(outcome: Any, words: list[str], sees: list[Any]) -> None:
    assert [*promised(outcome)] == words
    assert [*seen(outcome)] == sees


def test_what_the_page_runs() -> None:
    one = described(scenario(early=(Until("waiting"), Vanish(reset=False)), steps=(Say("hello"), Pause(0.1), Leave())))
    assert one["early"] == [["until", "waiting"], ["vanish", False]]
    assert one["steps"] == [["say", "hello"], ["pause", 0.1], ["leave", 1000]]


# The app.


async def get(path: str) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await demo.app({"type": "http", "path": path, "headers": []}, None, send)  # type: ignore[arg-type]
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


async def left(number: str, seconds: float = 0) -> Any:
    status, _, body = await get(f"/left/{number}/{seconds}")
    assert status == 200
    return json.loads(body)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("/", b"text/html", b"<!doctype html>"),
        ("/style.css", b"text/css", b"color-scheme"),
        ("/script.js", b"text/javascript", b"import"),
        ("/side.js", b"text/javascript", b"class Side"),
        ("/visit.js", b"text/javascript", b"new WebSocket"),
        ("/icon.svg", b"image/svg+xml", b"<svg"),
    ],
)
async def test_files(path: str, kind: bytes, text: bytes) -> None:
    status, headers, body = await get(path)
    assert status == 200
    assert headers[b"content-type"] == kind + b"; charset=utf-8"
    assert int(headers[b"content-length"]) == len(body)
    assert b"default-src 'none'" in headers[b"content-security-policy"]
    assert text in body


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/nothing", "/../app.py", "/page/index.html", "/index.html/"])
async def test_no_such_file(path: str) -> None:
    assert (await get(path))[0] == 404


@pytest.mark.anyio
async def test_scenarios() -> None:
    _, headers, body = await get("/scenarios.json")
    assert headers[b"content-type"].startswith(b"application/json")
    found = json.loads(body)
    assert found["server"].startswith("uvicorn ")
    assert len(found["scenarios"]) + sum(map(len, found["left_out"].values())) == len(SCENARIOS)
    assert set(found["clauses"]) == set(CLAUSES) >= {one["clause"] for one in found["scenarios"]}


@pytest.mark.anyio
async def test_each_visit_has_its_own_tasks() -> None:
    async with anyio.create_task_group() as tasks:
        for name in ("waits-for-lock", "awaits"):
            tasks.start_soon(StrictServer(f"/bare/{name}/{name}").run, demo.app)
        await anyio.wait_all_tasks_blocked()
        locked, awaits = await left("waits-for-lock"), await left("awaits")
    assert (locked["running"], awaits["running"]) == (True, True)
    assert len(locked["tasks"]) == 1
    assert "hold" in locked["tasks"][0]
    assert awaits["tasks"] == []
    assert (await left("waits-for-lock"))["running"] is False


@pytest.mark.anyio
async def test_a_note_can_be_waited_for() -> None:
    server = StrictServer("/guarded/never-decides/1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.run, demo.app)
        assert (await get("/reached/1/5/waiting"))[0] == 200
        server.client_leaves()
    assert (await left("1"))["notes"] == ["waiting", "cancelled"]


@pytest.mark.anyio
async def test_the_status_is_told_once() -> None:
    statuses["1"] = 503
    assert [(await left("1"))["status"] for _ in range(2)] == [503, None]


@pytest.mark.anyio
async def test_the_end_of_the_server_is_the_end_of_all_apps() -> None:
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(StrictServer("/bare/swallows/1").run, demo.app)
        await anyio.wait_all_tasks_blocked()
        await demo.app({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


# The server.


def test_the_status_is_overheard() -> None:
    written: list[bytes] = []

    class Transport:
        name = "its own"

        def write(self, data: bytes) -> None:
            written.append(data)

    class Protocol:
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

    class Both(Overheard, Protocol):
        scope: Any

    protocol = Both()
    protocol.connection_made(Transport())
    protocol.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # to what is no handshake
    protocol.scope = {"path": "/bare/awaits/1"}
    for data in (b"HTTP/1.1 503 Service Unavailable\r\n\r\n", b"\x88\x00"):
        protocol.transport.write(data)
    assert len(written) == 3
    assert statuses["1"] == 503
    assert protocol.transport.name == "its own"


def test_serving_ends_by_an_interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []

    def run(self: Any, sockets: list[socket.socket]) -> None:
        served.append((self.config.loaded_app if self.config.loaded else self.config.app, sockets))
        raise KeyboardInterrupt

    monkeypatch.setattr("uvicorn.Server.run", run)
    with server.listen("localhost", 0) as listener:
        server.serve(listener)
        assert served == [(demo.app, [listener])]


# The command.


Run = Callable[..., "tuple[Any, str, str]"]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as ended:
            commands.main(["demo", *arguments])
        return (ended.value.code or 0, *capsys.readouterr())

    return run


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, host: str, shown: str) -> None:
    class Listener:
        def getsockname(self) -> tuple[str, int]:
            return host, 8123

    served: list[Any] = []
    monkeypatch.setattr(server, "listen", lambda host, port: Listener())
    monkeypatch.setattr(server, "serve", served.append)
    told = f"Open http://{shown}:8123/ in a browser. Ctrl-C ends the demo.\n"
    assert run("--host", host, "--port", "0") == (0, told, "")
    assert len(served) == 1


def test_a_port_that_is_taken(run: Run) -> None:
    with server.listen("127.0.0.1", 0) as listener:
        port = str(listener.getsockname()[1])
        status, told, line = run("--port", port)
    assert (status, told) == (2, "")
    assert line == f"asgi-wsguard demo: cannot listen on 127.0.0.1 port {port}: Address already in use\n"


def test_uvicorn_is_missing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "asgi_wsguard.demo.server")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    missing = "asgi-wsguard demo: uvicorn is not installed: pip install 'asgi-wsguard[demo]'\n"
    assert run() == (2, "", missing)
