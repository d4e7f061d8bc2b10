"""The command `compare`, with what a real server serves in memory; on real servers see tests/servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import subprocess
import sys
import threading
import warnings
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import check_apps as apps
import pytest

from asgi_wsguard import Drainer, WebSocketGuardMiddleware
from asgi_wsguard.check.visits import Question
from asgi_wsguard.compare import clients, logs
from asgi_wsguard.compare.clients import NOTHING, Script, others, plain, told
from asgi_wsguard.compare.compared import ADDED, BARE, CONTROL, OWN, SETTINGS, Compared
from asgi_wsguard.compare.happened import Difference, Happened, differences
from asgi_wsguard.compare.journal import JOURNAL, PLAY, entries
from asgi_wsguard.compare.seen import watch_guards
from asgi_wsguard.compare.served import end, serve
from asgi_wsguard.compare.verdict import Finding, findings
from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.servers import SERVERS, Running
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time

if sys.version_info < (3, 11):
    from exceptiongroup import ExceptionGroup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

FOLDER = Path(__file__).parent
QUESTION = Question("/ws?secret=1", messages=("hi",))
CLIENT = plain(QUESTION)
UNRAISABLE: Any = SimpleNamespace(err_msg="in the middle", exc_value=KeyError())
SERVER = Running(SERVERS[0], 1, None, None)  # type: ignore[arg-type]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(JOURNAL, str(tmp_path / "journal"))
    return tmp_path / "journal"


# What happened, and the verdict

HAPPENED = Happened({"": ["'hello'", "end 1006 ''"]}, {}, ["ERROR server: it broke"], ["connection"], 3.0)


def judged(bare: Any, guarded: Any, *reports: str) -> list[tuple[str, tuple[str, ...], bool]]:
    found = findings(CLIENT, bare if isinstance(bare, tuple) else (bare,), guarded, reports)
    return [(one.difference.part, one.clauses, one.better) for one in found]


def test_no_difference() -> None:
    assert differences(HAPPENED, HAPPENED) == {}
    (left,) = differences(HAPPENED, replace(HAPPENED, left=[])).values()
    assert str(left) == "left\n     bare: ['connection']\n  guarded: []"
    assert judged(HAPPENED, HAPPENED, "E2") == []
    assert judged(HAPPENED, replace(HAPPENED, took=3.9), "E2") == []


@pytest.mark.parametrize(
    ("change", "part", "clauses"),
    [
        ({"client": {"": ["'hello'", "end 1000 ''"]}}, "client", ("O9", "O1")),
        ({"client": {"": ["'hello'", "'more'", "end 1000 ''"]}}, "client", ("O9", "O1")),
        ({"logs": []}, "logs", ("O9", "O1")),
        ({"logs": ["WARNING asgi_wsguard: [wsguard-O6] '/': It sent."]}, "logs", ("O6",)),
        ({"left": []}, "left", ("O9", "O1")),
        ({"took": 0.1}, "took", ("O9", "O1")),
    ],
    ids=str,
)
def test_improvements(change: Any, part: str, clauses: tuple[str, ...]) -> None:
    guarded = replace(HAPPENED, **change)
    assert judged(HAPPENED, guarded, "O9 O1") == [(part, clauses, True)]
    if clauses != ("O6",):
        assert judged(HAPPENED, guarded) == [(part, (), False)]  # no clause says why


@pytest.mark.parametrize(
    "change",
    [
        {"client": {"": ["'hello'", "end 1006 'why'"]}},
        {"client": {"": ["'hullo'", "end 1000 ''"]}},
        {"client": {"": ["end 1000 ''"]}},
        {"client": {"": []}},
        {"logs": ["ERROR server: it broke otherwise"]},
        {"logs": ["WARNING asgi_wsguard: [wsguard-O6] '/': It sent.", "WARNING other"]},
        {"left": ["task"]},
        {"took": 30.0},
    ],
    ids=str,
)
def test_differences_that_are_none(change: Any) -> None:
    ((_, _, better),) = judged(HAPPENED, replace(HAPPENED, **change), "O1")
    assert not better


@pytest.mark.parametrize("end", ["end 1000 ''", "denied 403 [] b''", "(it left)", "anything"])
def test_a_client_that_got_what_it_wanted_cannot_get_better(end: str) -> None:
    bare = replace(HAPPENED, client={"": [end]})
    assert judged(bare, replace(bare, client={"": ["end 4000 ''"]}), "O4") == [("client", ("O4",), False)]


def test_what_differs_without_a_guard_is_not_its_doing() -> None:
    ticks = replace(HAPPENED, client={"": ["'12:00'"]})
    again = replace(HAPPENED, client={"": ["'12:01'"]})
    guarded = replace(HAPPENED, client={"": ["'12:02'"]}, left=[])
    assert judged((ticks, again), guarded, "E2") == [("left", ("E2",), True)]


def test_texts() -> None:
    logged = Finding(CLIENT, Difference("logs", [], ["a … b"]), ("O1",), True)
    assert logged.with_texts({"a … b": "a 17 b"}).difference == Difference("logs", [], ["a 17 b"])
    left = Finding(CLIENT, Difference("left", [], ["a"]), (), False)
    assert left.with_texts({}) is left


# The clients


@pytest.mark.parametrize(
    ("seen", "got"),
    [
        (Observation(opened=True, subprotocol="chat", code=1000, reason="bye"), ["subprotocol chat", "end 1000 'bye'"]),
        (Observation(opened=True, messages=["a", b"b"], hung=True), ["'a'", "b'b'", NOTHING]),
        (Observation(opened=True, messages=["a" * 100], left=True), [f"'{'a' * 59}… (100)", "(it left)"]),
        (
            Observation(status=403, headers=[("Date", "now"), ("X-Why", "you")], body=b"no"),
            ["denied 403 ['x-why: you'] b'no'"],
        ),
        (Observation(status=401, body=b"half", cut=True), [clients.CUT]),
        (Observation(), [clients.CUT]),
        (Observation(opened=True, fault="a bad frame"), ["an illegal answer: a bad frame"]),
    ],
)
def test_told(seen: Observation, got: list[str]) -> None:
    assert told(seen) == got


def test_the_visits_of_check() -> None:
    assert [client.does for client in (CLIENT, *others(QUESTION, ["end 1000 ''"]))] == [
        "a client that closes",
        "a client that is gone before the answer",
        "a client that sends, and closes",
        "a client that sends, and vanishes",
    ]
    assert [client.does for client in others(QUESTION, ["denied 403"])] == ["a client that is gone before the answer"]
    assert CLIENT.place == "/ws"


def test_a_visitor(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def visited(port: int, path: str, *, watch: Any, **more: Any) -> Observation:
        asked.append((port, path, more["headers"], more["patience"]))
        watch("answered")
        return Observation(opened=True, code=1000)

    monkeypatch.setattr(clients, "visited", visited)
    assert CLIENT.visit(SERVER, 7.0, lambda note: True) == ["end 1000 ''"]
    assert asked == [(1, "/ws?secret=1", (), 7.0)]
    hosted = plain(Question("/ws", host="ws.example.org"))
    hosted.visit(SERVER, 7.0, lambda note: True)
    assert asked[1:] == [(1, "/ws", (("host", "ws.example.org"),), 7.0)]
    assert hosted.place == "ws.example.org/ws"
    with pytest.raises(OSError):  # noqa: PT011 - the client's own for a socket's timeout
        CLIENT.visit(SERVER, 7.0, lambda note: False)


def test_a_script(tmp_path: Path) -> None:
    file = tmp_path / "client.py"
    file.write_text("import sys\nprint('asked', sys.argv[1])\nprint('two')\nsys.exit(f'failed at {sys.argv[1]}')")
    got = Script(file).visit(SERVER, 60.0, lambda note: True)
    assert got == ["asked ws://127.0.0.1:…", "two", "failed at ws://127.0.0.1:…", "exit status 1"]
    assert (Script(file).place, Script(file).does) == (str(file), "")
    file.write_text("print('fine')")
    assert Script(file).visit(SERVER, 60.0, lambda note: True) == ["fine"]


@pytest.mark.parametrize(("printed", "got"), [(b"one\n", ["one", NOTHING]), (None, [NOTHING])])
def test_a_script_that_does_not_end(printed: Any, got: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def runs(command: Any, *, timeout: float, **how: Any) -> Any:
        raise subprocess.TimeoutExpired(command, timeout, printed)

    monkeypatch.setattr(subprocess, "run", runs)
    assert Script(Path("client.py")).visit(SERVER, 3.0, lambda note: True) == got


# The server's process


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(WebSocketGuardMiddleware, "__init__", WebSocketGuardMiddleware.__init__)
    watch_guards()


async def ask(compared: Compared, path: str) -> Any:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await compared({"type": "http", "path": path}, None, send)
    return json.loads(sent[1]["body"])


@contextlib.asynccontextmanager
async def visited(compared: Compared, *, stays: bool = False) -> AsyncIterator[StrictServer]:
    server = StrictServer("/ws")

    async def serves() -> None:
        with contextlib.suppress(KeyError):
            await server.run(compared)

    assert await ask(compared, f"{CONTROL}begin/0")
    async with anyio.create_task_group() as group:
        group.start_soon(serves)
        yield server
        if stays:
            group.cancel_scope.cancel()


async def hears(compared: Compared, note: str) -> Any:
    return await ask(compared, f"{CONTROL}reach/{note}")


@pytest.mark.parametrize("side", [BARE, ADDED, OWN])
@pytest.mark.usefixtures("watched")
@in_virtual_time
async def test_an_echo_on_each_side(side: str, journal: Path) -> None:
    compared = Compared(apps.echo, side, 1.0)
    assert await ask(compared, "/") == "ready"
    async with visited(compared) as server:
        for note in ("called", "answered", "at-rest/0"):
            assert await hears(compared, note)
        server.client_sends("hi")
        assert await hears(compared, "at-rest/1")
        assert server.client.messages == ["hi"]
        server.client_leaves()
    assert await ask(compared, f"{CONTROL}left/0") == {"left": [], "guarded": False}
    assert entries(journal, "report", "0") == ([("", "E2")] if side == ADDED else [])


@pytest.mark.usefixtures("watched", "journal")
@in_virtual_time
async def test_a_guard_in_the_stack_is_bypassed_on_the_bare_side() -> None:
    seen = []
    drainer = Drainer()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await apps.open_websocket(scope, receive, send)
        seen.append(len(drainer.connections))
        await receive()
        await receive()

    async def around(scope: Any, receive: Any, send: Any) -> None:
        await guarded(scope, receive, send)

    guarded = WebSocketGuardMiddleware(WebSocketGuardMiddleware(app), drainer=drainer)
    for side in (BARE, OWN):
        compared = Compared(around, side, 1.0)
        async with visited(compared) as server:
            server.client_sends("hi")
            assert await hears(compared, "at-rest/1")
            # While the app runs, too: it may never end.
            told = await ask(compared, f"{CONTROL}left/0")
            assert told["guarded"] is (side == BARE)
            assert told["left"][0] == "connection"
            assert len(told["left"]) == 2
            server.client_leaves()
    assert seen == [0, 1]


@pytest.mark.parametrize(("side", "answered"), [(BARE, False), (OWN, True)])
@pytest.mark.usefixtures("watched", "journal")
@in_virtual_time
async def test_an_app_that_never_answers(side: str, answered: bool) -> None:
    compared = Compared(WebSocketGuardMiddleware(apps.never_answers, handshake_timeout=0.5), side, 1.0)
    async with visited(compared, stays=not answered):
        assert await hears(compared, "answered") is answered
        await anyio.sleep(1)  # the guard has cancelled it
        assert (await ask(compared, f"{CONTROL}left/0"))["left"][:1] == ["connection"] * (not answered)


@pytest.mark.usefixtures("watched", "journal")
@in_virtual_time
async def test_what_a_client_waits_for() -> None:
    compared = Compared(apps.stays, BARE, 100.0)
    before = anyio.current_time()
    async with visited(compared, stays=True):
        assert await hears(compared, "at-rest/0")  # although it neither receives nor sends
    assert 4.9 < anyio.current_time() - before < 6
    compared = Compared(apps.pushes, BARE, 1.0)
    async with visited(compared, stays=True) as server:
        assert await hears(compared, "at-rest/0")
        assert server.client.messages
    compared = Compared(apps.raises, BARE, 1.0)
    async with visited(compared):
        assert await hears(compared, "at-rest/7")
    compared = Compared(apps.echo, BARE, 1.0)
    assert await ask(compared, f"{CONTROL}begin/1")
    assert not await hears(compared, "called")


@pytest.mark.usefixtures("watched")
@in_virtual_time
async def test_other_requests_are_the_apps() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append((scope["type"], scope.get("path")))
        await send({"type": "http.response.start"})
        await send({"type": "http.response.body", "body": b"2"})

    seen: list[Any] = []
    compared = Compared(app, ADDED, 1.0)
    assert await ask(compared, f"{CONTROL}begin/0")
    assert await ask(compared, "/login") == 2
    assert seen == [("http", "/login")]


def test_a_guard_looks_as_before(watched: None) -> None:
    class App:
        routes = ("/",)

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            raise NotImplementedError

    guarded: Any = WebSocketGuardMiddleware(App())
    assert guarded.app.routes == ("/",)
    with pytest.raises(AttributeError):
        guarded.app.nothing  # noqa: B018
    with pytest.raises(ValueError, match="handshake_timeout"):
        WebSocketGuardMiddleware(App(), handshake_timeout=-1)


@pytest.fixture
def captured(journal: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Everything that `capture` replaces is put back."""
    for owner, name in ((logging.Logger, "handle"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    with warnings.catch_warnings():
        yield lambda play: [text for _, text in entries(journal, "log", play)]
    logging.captureWarnings(False)


def test_what_is_logged(captured: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        logging.getLogger("quiet").info("nothing")
        logging.getLogger("mine").warning("in the app\nmore")
        task = asyncio.ensure_future(fails())
        await asyncio.wait([task])
        del task
        raise ExceptionGroup("its", [KeyError("a")])

    async def fails() -> None:
        raise ValueError

    def runs() -> None:
        raise OSError

    async def main(before: Any) -> None:
        asyncio.get_running_loop().set_exception_handler(before)
        logs.attribute_loop_errors()
        logs.attribute_loop_errors()  # once for a loop
        with pytest.raises(ExceptionGroup) as raised:
            await asyncio.create_task(serve("play", app, {"type": "websocket"}, None, None))
        wrapped = RuntimeError("of a server")
        wrapped.__cause__ = raised.value
        logging.getLogger("server").error("app failed", exc_info=wrapped)
        gc.collect()

    monkeypatch.setattr(logging.getLogger("quiet"), "level", logging.INFO)
    logs.capture(lambda: "elsewhere")
    told = []
    for before in (None, lambda loop, context: told.append(context["message"])):
        asyncio.run(main(before))
    thread = threading.Thread(target=runs)
    thread.start()
    thread.join()
    sys.unraisablehook(UNRAISABLE)
    lines = ["WARNING mine: in the app", "ERROR server: app failed [RuntimeError]"]
    never = "Task exception was never retrieved"
    assert sorted(captured("play")) == sorted([*lines, *lines, f"ERROR asyncio: {never} [ValueError]"])
    assert told == [never]
    assert captured("elsewhere") == ["a thread failed [OSError]", "unraisable in the middle [KeyError]"]


@pytest.mark.anyio
async def test_the_end_of_a_side(anyio_backend: str) -> None:
    """Trio's tasks cannot be cancelled from elsewhere."""
    ended = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await anyio.Event().wait()
        except anyio.get_cancelled_exc_class():
            ended.append(PLAY.get())
            raise

    async with anyio.create_task_group() as group:
        for play in ("bare/one", "guarded/one"):
            group.start_soon(serve, play, app, {"type": "websocket"}, None, None)
        await anyio.sleep(0.01)
        end("bare")
        await anyio.sleep(0.01)
        assert ended == ["bare/one"] * (anyio_backend == "asyncio")
        group.cancel_scope.cancel()


def test_what_varies_is_not_compared() -> None:
    line = "ERROR x: Task-12 of <A at 0x7f00> took 1.5 s (/srv/app.py:12) by /usr/lib/site-packages/a.py"
    assert logs.comparable(line) == "ERROR x: … of <A at …> took … s … by …/site-packages/a.py"


def test_the_process(journal: Path, captured: Any, watched: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTINGS, json.dumps(["check_apps:echo", False, ADDED, 1.0]))
    process = import_module("asgi_wsguard.compare.process")
    assert isinstance(process.app, Compared)
    process.app.play = "7"
    logging.getLogger("server").warning("of no task")
    assert captured("7") == ["WARNING server: of no task"]
    del sys.modules["asgi_wsguard.compare.process"]
