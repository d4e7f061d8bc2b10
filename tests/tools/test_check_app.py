"""The command `check`, in memory and with what a real server serves; on real servers see tests/servers."""

from __future__ import annotations

import contextlib
import inspect
import json
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import check_apps as apps
import pytest
import sniffio
from click.testing import CliRunner

from asgi_wsguard.check import in_memory, lifespan, on_server
from asgi_wsguard.check.findings import LONGEST, Finding, Findings
from asgi_wsguard.check.observer import SETTINGS, Observer
from asgi_wsguard.check.visits import Question
from asgi_wsguard.cli import check as command
from asgi_wsguard.cli.commands import commands
from asgi_wsguard.probe.client import Observation
from asgi_wsguard.probe.servers import SERVERS, Running, Server
from asgi_wsguard.testing import StrictServer
from harness.clock import in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


FOLDER = Path(__file__).parent


@pytest.fixture(autouse=True)
def in_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", [*sys.path])


def run(*arguments: str) -> tuple[int, list[str]]:
    """Return the exit status, and the lines."""
    result = CliRunner().invoke(commands, ["check", *arguments], prog_name="asgi-wsguard")
    return result.exit_code, result.output.splitlines()


def line(name: str, mark: str) -> str:
    """Return file and line of what is marked in an app."""
    source, first = inspect.getsourcelines(getattr(apps, name))
    return f"check_apps.py:{next(number for number, text in enumerate(source, first) if f'# {mark}' in text)}"


def found(app: Any, backend: str = "asyncio", **asked: Any) -> list[str]:
    """Return what is found in memory, in short."""
    told = []

    def tell(finding: Finding) -> None:
        told.append(f"{finding.place} {finding.clause}: {finding.what} {finding.where}")

    findings = Findings(tell)
    anyio.run(in_memory.check, app, [Question(**asked)], findings, backend=backend)
    return told


# What is found


@pytest.mark.parametrize("name", ["echo", "Old", "Holder.app", "make", "startup", "pushes"])
def test_nothing(name: str) -> None:
    assert run(f"check_apps:{name}") == (0, ["no findings in 4 visits"])


def test_messages_are_sent() -> None:
    assert run("check_apps:echo", "--send", "hi", "--send", "ho") == (0, ["no findings in 5 visits"])


def test_an_explicit_factory() -> None:
    assert run("check_apps:make_with_defaults", "--factory") == (0, ["no findings in 4 visits"])


def test_what_the_clients_ask_for() -> None:
    arguments = ["check_apps:needs_header", "--path", "/chat room?token=1", "--subprotocol", "chat"]
    assert run(*arguments, "--header", "X-Token: a:b") == (0, ["no findings in 4 visits"])
    status, lines = run(*arguments)
    hint = "the handshake of /chat room was denied with 403: are --path, --header and --subprotocol right?"
    assert (status, lines) == (0, [f"no findings in 2 visits; {hint}"])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize(
    ("name", "mark", "expected"),
    [
        ("returns", "H1", "/ H1: the app returned without answering the handshake"),
        ("raises", "H2", "/ H2: the app raised KeyError: 'websocket' before it answered the handshake"),
        ("denies_in_part", "H8", "/ H8: the app raised KeyError: 'in a group' inside the body of its denial response"),
        ("raises_on_open", "O2", "/ O2: the app raised KeyError on an open websocket"),
        ("forgets_the_disconnect", "E3", "/ E3: the app raised KeyError: 'text' after the connection was over"),
        ("loops", "O8", "/ O8: the app kept receiving after 100 disconnects"),
        (
            "closes_with_1006",
            "O4",
            "/ O4: {'type': 'websocket.close', 'code': 1006}: this close code may not be sent",
        ),
    ],
)
def test_a_fault_is_told_once(name: str, mark: str, expected: str, backend: str) -> None:
    assert found(getattr(apps, name), backend) == [f"{expected} {line(name, mark)}"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_app_that_never_answers(backend: str) -> None:
    waits = f"the app waits at {line('never_answers', 'H4')}"
    assert found(apps.never_answers, backend, timeout=0.05) == [
        f"/ H4: the app had not answered the handshake after 0.05 s; expected an accept, a close or a denial; {waits} ",
        f"/ O12: the app kept running for 0.05 s after the connection was over; {waits}; it was cancelled ",
    ]


def test_an_app_that_does_not_notice_a_leaving_client() -> None:
    waits = f"the app waits at {line('stays', 'O12')}"
    assert found(apps.stays, timeout=0.05) == [
        f"/ O12: the app kept running for 0.05 s after the connection was over; {waits}; it was cancelled "
    ]


def test_a_task_that_is_left_behind() -> None:
    where = line("forgotten", "left behind")
    assert run("check_apps:leaves_a_task") == (
        1,
        [f"/: the app's task forgotten was left behind; it waits ({where})", "1 finding in 4 visits"],
    )


def test_a_long_message_is_cut() -> None:
    (told,) = found(apps.sends_much)
    assert len(told) < LONGEST + 40
    assert "…" in told
    assert told.endswith(f"exactly one of text and bytes must be given {line('sends_much', 'O9')}")


def test_the_guard_stands_aside() -> None:
    assert run("check_apps:guarded", "--path", "/ws") == (
        1,
        [
            f"[H1] /ws: the app returned without answering the handshake ({line('returns', 'H1')})",
            "1 finding in 2 visits; the guard in the app's stack was bypassed",
        ],
    )


# The lifespan


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fails_to_start", "the app says that its startup failed: no database"),
        ("fails_and_raises", "the app raised KeyError: 'no database' in its startup ({raises})"),
    ],
)
def test_a_startup_that_fails(name: str, expected: str) -> None:
    where = line("fails_and_raises", "startup")
    assert run(f"check_apps:{name}") == (
        1,
        [f"lifespan: {expected.format(raises=where)}", "1 finding in 0 visits"],
    )


def test_an_app_that_raises_on_the_lifespan_does_not_support_it() -> None:
    told = f"the app raised KeyError: 'no database' on the lifespan scope ({line('raises_in_startup', 'startup')})"
    assert run("check_apps:raises_in_startup") == (0, [f"no findings in 4 visits; there was no startup: {told}"])


@pytest.mark.parametrize("name", ["receives_first", "answers_first"])
def test_an_app_that_never_looks_at_the_type_of_the_scope(name: str) -> None:
    status, (told,) = run(f"check_apps:{name}")
    assert (status, told.partition(";")[0]) == (0, "no findings in 4 visits")


def test_a_startup_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifespan, "PATIENCE", 0.05)
    assert run("check_apps:hangs_in_startup") == (
        1,
        [
            f"lifespan: the app had not ended its startup after 0.05 s ({line('hangs_in_startup', 'hangs')})",
            "1 finding in 0 visits",
        ],
    )


def test_a_shutdown_that_fails() -> None:
    where = line("raises_in_shutdown", "shutdown")
    told = f"lifespan: the app raised KeyError in its shutdown ({where})"
    assert run("check_apps:raises_in_shutdown") == (1, [told, "1 finding in 4 visits"])


# Wrong input


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["check_apps"], "'check_apps' does not name an app; write module:app, such as check_apps:app"),
        ([":app"], "':app' does not name an app; write module:app, such as main:app"),
        (["check_apps.py:echo"], "'check_apps.py' is a file, not a module; did you mean check_apps:echo?"),
        (["./check_apps:echo"], "'./check_apps' is a file, not a module; did you mean check_apps:echo?"),
        (["..:echo"], "'..:echo' does not name an app; write module:app, such as main:app"),
        (["check_apps:ecko"], "check_apps has no 'ecko'; did you mean echo?"),
        (["check_apps:Holder.xyz"], "check_apps has no 'Holder.xyz'; did you mean app?"),
        (["math:xyz"], "math has no 'xyz'"),
        (["check_apps:NO_APP"], "check_apps:NO_APP is not an ASGI app: this object cannot be called"),
        (["check_apps:wsgi"], "check_apps:wsgi is not an ASGI app: this function cannot be called"),
        (["check_apps:make_nothing"], "check_apps:make_nothing() is not an ASGI app: this NoneType cannot be called"),
        (["check_apps:make_async"], "the factory check_apps:make_async is async, which no server supports"),
        (["check_apps:echo", "--factory"], "check_apps:echo is not a factory: it cannot be called without arguments"),
        (["check_apps:make_in_vain"], "the factory check_apps:make_in_vain raised KeyError: 'no settings' ({raised})"),
        (["check_appz:echo"], f"there is no module 'check_appz', in {FOLDER} or installed; is that its name"),
        (["check_apps.echo:app"], "there is no module 'check_apps.echo', in"),
        (["check_apps:echo", "--path", "ws"], "'--path': 'ws' does not begin with a slash; write it like /ws?room=1"),
        (
            ["check_apps:echo", "--header", "x"],
            "'--header': 'x' is not a header; write NAME:VALUE, such as Origin:https",
        ),
        (["check_apps:echo", "--header", "x y:z"], "'--header': 'x y:z' is not a header"),
        (["check_apps:echo", "--header", "x:a\nb"], "is not a header"),
        (["check_apps:echo", "--header", "Upgrade:x"], "Upgrade is a header that the client sends itself"),
        (
            ["check_apps:echo", "--header", "Sec-WebSocket-Protocol:x"],
            "sends itself; see --subprotocol",
        ),
        (["check_apps:echo", "--subprotocol", "a,b"], "'--subprotocol': 'a,b' is not the name of a subprotocol"),
        (["check_apps:echo", "--timeout", "nan"], "'--timeout': nan is not a number of seconds to wait"),
        (["check_apps:echo", "--timeout", "0"], "'--timeout': 0 is not a number of seconds to wait"),
        (["check_apps:echo", "--server", "nosuch"], "no server 'nosuch'. There is uvicorn, uvicorn-sansio, "),
    ],
)
def test_wrong_input_is_told_in_one_line(arguments: list[str], expected: str) -> None:
    status, lines = run(*arguments)
    assert (status, len(lines)) == (2, 1)
    assert lines[0].startswith("asgi-wsguard check: ")
    assert expected.format(raised=line("make_in_vain", "raised")) in lines[0]


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("needs.py").write_text("\nimport no_such_library\n")
    Path("wrong.py").write_text("def (:\n")
    Path("leaves.py").write_text("import sys\nsys.exit()\n")
    begin = "asgi-wsguard check:"
    told = "needs cannot be imported: ModuleNotFoundError: No module named 'no_such_library' (needs.py:2)"
    told += f"; asgi-wsguard runs in the environment {sys.prefix}:"
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert run("needs:app") == (2, [f"{begin} {told} is it installed there?"])
    apps = Path(".venv").absolute()
    apps.mkdir()
    where = f"if the app's is {apps}, install 'asgi-wsguard[cli]' there"
    assert run("needs:app") == (2, [f"{begin} {told} {where}"])
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)
    assert run("needs:app") == (2, [f"{begin} {told} is it installed there?"])
    told = "wrong cannot be imported: SyntaxError: invalid syntax (wrong.py, line 1)"
    assert run("wrong:app") == (2, [f"{begin} {told}"])
    assert run("leaves:app") == (2, [f"{begin} leaves cannot be imported: SystemExit (leaves.py:2)"])


def test_a_server_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asgi_wsguard.cli.check.SERVERS", [Server("no-server", "", {"no_such_module": "no-package"})])
    status, (told,) = run("check_apps:echo", "--server", "no-server")
    assert (status, told.endswith("no-server is not installed: pip install no-package")) == (2, True)


# Real servers


def test_servers_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(Server, "missing", lambda server: [])
    monkeypatch.setattr(command.in_memory, "check", backend_of(calls))
    monkeypatch.setattr(command.on_server, "check", lambda server, *rest, **more: calls.append(server.name))
    run("check_apps:echo", "--server", "daphne", "--server", "hypercorn-trio")
    run("check_apps:echo", "--server", "hypercorn-trio")
    assert calls == ["asyncio", "hypercorn-trio", "daphne", "trio", "hypercorn-trio"]


def backend_of(calls: list[str]) -> Callable[..., Any]:
    async def check(*args: Any) -> bool:
        calls.append(sniffio.current_async_library())
        return True

    return check


async def told_by(observer: Observer, path: str) -> Any:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await observer({"type": "http", "path": path}, None, send)
    return json.loads(sent[1]["body"])


@contextlib.asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[tuple[Observer, StrictServer, list[str]]]:
    """Serve the app as a real server does, with the observer around it; what comes out of it is in the list."""
    observer, server, raised = Observer(app, 0.05), StrictServer("/ws", **options), []

    async def serve() -> None:
        try:
            await server.run(observer)
        except Exception as exc:
            raised.append(type(exc).__name__)

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        yield observer, server, raised


def left(*violations: tuple[str, str, str], guarded: bool = False) -> dict[str, Any]:
    placed = [[clause, what, f"{FOLDER}/{where}"] for clause, what, where in violations]
    return {"violations": placed, "guarded": guarded}


@pytest.mark.anyio
@in_virtual_time
async def test_observed_echo() -> None:
    async with served(apps.echo) as (observer, server, raised):
        assert await told_by(observer, "/reach/called")
        assert await told_by(observer, "/reach/answered")
        assert await told_by(observer, "/reach/at-rest/0")
        server.client_sends("hi")
        assert await told_by(observer, "/reach/at-rest/1")
        assert server.client.messages == ["hi"]
        server.client_leaves()
        assert await told_by(observer, "/left") == left()
    assert raised == []


@pytest.mark.anyio
@in_virtual_time
async def test_an_observed_app_that_never_answers() -> None:
    async with served(apps.never_answers) as (observer, _, raised):
        assert not await told_by(observer, "/reach/answered")
        ((clause, what, _),) = (await told_by(observer, "/left"))["violations"]
    assert (clause, raised) == ("H4", [])
    assert f"the app waits at {FOLDER}/{line('never_answers', 'H4')}" in what


@pytest.mark.anyio
@in_virtual_time
async def test_an_observed_app_that_the_server_cancels() -> None:
    with anyio.move_on_after(1) as scope:
        await StrictServer("/ws").run(Observer(apps.never_answers, 5))
    assert scope.cancelled_caught


@pytest.mark.anyio
@in_virtual_time
async def test_an_observed_app_that_outlives_its_client_is_cancelled() -> None:
    async with served(apps.stays) as (observer, server, raised):
        assert await told_by(observer, "/reach/answered")
        server.client_leaves()
        ((clause, _, _),) = (await told_by(observer, "/left"))["violations"]
    assert (clause, raised) == ("O12", [])


@pytest.mark.anyio
@in_virtual_time
async def test_an_observed_app_raises_into_the_server() -> None:
    async with served(apps.raises) as (observer, _, raised):
        what = "the app raised KeyError: 'websocket' before it answered the handshake"
        assert await told_by(observer, "/reach/answered")
        assert await told_by(observer, "/left") == left(("H2", what, line("raises", "H2")))
    assert raised == ["KeyError"]


@pytest.mark.anyio
@in_virtual_time
async def test_what_follows_from_an_illegal_message_is_not_told() -> None:
    """It reaches the server, and what that makes of it is no fault of the app's."""
    async with served(apps.closes_with_1006) as (observer, server, raised):
        assert await told_by(observer, "/reach/answered")
        what = "{'type': 'websocket.close', 'code': 1006}: this close code may not be sent"
        assert await told_by(observer, "/left") == left(("O4", what, line("closes_with_1006", "O4")))
    assert [violation.clause for violation in server.violations] == ["O4"]
    assert raised == ["IllegalSequence"]


@pytest.mark.anyio
@in_virtual_time
async def test_a_second_illegal_message_is_not_told() -> None:
    async def denies_and_sends(scope: Any, receive: Any, send: Any) -> None:
        for kind in ("websocket.http.response.start", "websocket.http.response.body"):
            with contextlib.suppress(AssertionError):
                await send({"type": kind, "status": 401})

    async with served(denies_and_sends, denial_extension=False) as (observer, _, _):
        assert await told_by(observer, "/reach/answered")
        assert [clause for clause, _, _ in (await told_by(observer, "/left"))["violations"]] == ["H9"]


@pytest.mark.anyio
@in_virtual_time
async def test_a_send_that_fails_tells_that_the_client_has_left() -> None:
    async with served(apps.pushes) as (observer, server, raised):
        assert await told_by(observer, "/reach/at-rest/0")
        server.client_leaves()
        assert await told_by(observer, "/left") == left()
    assert raised == []


@pytest.mark.anyio
@in_virtual_time
async def test_an_observed_guard_stands_aside() -> None:
    async with served(apps.guarded) as (observer, _, _):
        what = "the app returned without answering the handshake"
        assert await told_by(observer, "/reach/called")
        assert await told_by(observer, "/left") == left(("H1", what, line("returns", "H1")), guarded=True)


@pytest.mark.anyio
@in_virtual_time
async def test_a_server_that_does_not_call_the_app() -> None:
    observer = Observer(apps.echo, 0.05)
    assert not await told_by(observer, "/reach/called")
    assert await told_by(observer, "/") == left()


@pytest.mark.anyio
async def test_the_lifespan_is_the_apps() -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await Observer(apps.fails_to_start, 1)({"type": "lifespan"}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"


def test_the_process_loads_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTINGS, json.dumps(["check_apps:make", False, 2.0]))
    monkeypatch.delitem(sys.modules, "asgi_wsguard.check.process", raising=False)
    from asgi_wsguard.check.process import app

    assert app._bare.app is apps.echo


class FakeServer:
    """Stands for `running`, for the client, and for what the observer tells."""

    reached = b"true"

    def __init__(self, seen: Observation, *told: Any) -> None:
        self.seen, self.told = seen, [*told]
        self.visits: list[dict[str, Any]] = []

    @contextlib.contextmanager
    def running(self, server: Server, **options: Any) -> Iterator[Running]:
        yield Running(server, 0, None, Path())  # type: ignore[arg-type]

    def visited(self, port: int, path: str, *, watch: Callable[[str], object], **asked: Any) -> Observation:
        self.visits.append({"path": path, **asked})
        with contextlib.suppress(socket.timeout):
            watch("answered")
            return self.seen
        return Observation(hung=True)

    def get(self, port: int, path: str, patience: float) -> bytes:
        if path.startswith("/reach"):
            return self.reached
        if not self.told:
            raise ConnectionError("gone")
        return json.dumps({"violations": self.told.pop(0), "guarded": True}).encode()

    def check(self, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> tuple[list[str], Findings]:
        for name in ("running", "visited", "get"):
            monkeypatch.setattr(on_server, name, getattr(self, name))
        told: list[str] = []
        findings = Findings(lambda finding: told.append(f"{finding.place}: {finding.clause} {finding.what}"))
        on_server.check(SERVERS[0], "a:b", factory=False, questions=[Question(**asked)], findings=findings)
        return told, findings


def test_visits_on_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(Observation(status=101, opened=True, code=1006), [["O1", "returned", "x.py:1"]], [], [], [])
    told, findings = server.check(monkeypatch, path="/w s?x=1", messages=("hi",))
    assert told == [
        "/w s on uvicorn-sansio: O1 returned; the client got close 1006",
        "/w s on uvicorn-sansio:  the app broke no rule, but the client got close 1006",
    ]
    assert (findings.visits, findings.guarded) == (4, True)
    assert {visit["path"] for visit in server.visits} == {"/w%20s?x=1"}


def test_visits_to_a_host(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(Observation(status=500), [], [])
    told, _ = server.check(monkeypatch, path="/ws", host="ws.example.org", headers=(("origin", "x"),))
    assert told == ["ws.example.org/ws on uvicorn-sansio:  the app broke no rule, but the client got 500"]
    assert {visit["headers"] for visit in server.visits} == {(("host", "ws.example.org"), ("origin", "x"))}


@pytest.mark.parametrize(
    ("seen", "bad"),
    [
        (Observation(status=403), ""),
        (Observation(status=401, cut=True), "401, cut"),
        (Observation(status=500), "500"),
        (Observation(status=101, opened=True, code=1000), ""),
        (Observation(status=101, opened=True, hung=True), "101, then nothing"),
        (Observation(status=101, opened=True, left=True), ""),
        (Observation(status=101, opened=True, fault="two lengths"), "an illegal answer: two lengths"),
        (Observation(hung=True), "nothing"),
        (Observation(), "no response"),
    ],
)
def test_what_is_a_bad_end_for_the_client(seen: Observation, bad: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = FakeServer(seen, [], [], [], []).check(monkeypatch)
    assert [text.rpartition("the client got ")[2] for text in told] == [bad] * bool(bad)


def test_a_client_that_has_waited_long_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(Observation(status=403), [["H4", "late", ""]], [])
    monkeypatch.setattr(server, "reached", b"false")
    assert server.check(monkeypatch)[0][0] == "/ on uvicorn-sansio: H4 late; the client got nothing"


def test_a_server_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    told, _ = FakeServer(Observation(status=403)).check(monkeypatch)
    assert told == ["/ on uvicorn-sansio:  the server no longer answers: gone"]


def test_a_server_that_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    server = FakeServer(Observation())

    def running(server: Server, **options: Any) -> Any:
        raise RuntimeError("it did not start:\nTraceback\nKeyError: 1\n")

    monkeypatch.setattr(server, "running", running)
    assert server.check(monkeypatch)[0] == ["/ on uvicorn-sansio:  the server did not start: KeyError: 1"]
