"""Apps in FastAPI and Starlette that their test suites call by `TestClient`, and by the transport of httpx-ws."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import httpx_ws
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, WebSocketException
from httpx_ws.transport import ASGIWebSocketTransport
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocket, WebSocketDisconnect

from harmless.model import App, note, seconds

if TYPE_CHECKING:
    from harmless.in_process import Suite


class Wrong(Exception):
    """The app's own, without a handler."""


async def session() -> AsyncIterator[str]:
    """A dependency that a test sees roll back."""
    try:
        yield "session"
    except BaseException as exc:
        note(f"rolled back for {type(exc).__name__}")
        raise
    finally:
        note("closed")


def made() -> FastAPI:
    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, Any]]:
        note("started")
        yield {"database": "open"}
        note("stopped")

    app = FastAPI(lifespan=lifespan)
    present: list[WebSocket] = []

    @app.websocket("/echo")
    async def echo(websocket: WebSocket) -> None:
        chosen = next(iter(websocket.scope["subprotocols"]), None)
        await websocket.accept(chosen, [(b"x-room", b"one"), (b"set-cookie", b"a=b")])
        try:
            while True:
                message = await websocket.receive()
                if message["type"] == "websocket.disconnect":
                    note(f"left with {message['code']}")
                    break
                await websocket.send({**message, "type": "websocket.send"})
        finally:
            note("echo has ended")

    @app.websocket("/close/{code}")
    async def close(websocket: WebSocket, code: int) -> None:
        await websocket.accept()
        await websocket.send_json({"code": code})
        await websocket.close(code, "enough")
        note("closed it")
        try:
            await websocket.receive_text()
        except Exception as exc:
            note(f"then {type(exc).__name__}")

    @app.websocket("/refuse/{how}")
    async def refuse(websocket: WebSocket, how: str) -> None:
        if how == "http":
            raise HTTPException(404, "no such room", {"x-why": "unknown"})
        if how == "websocket":
            raise WebSocketException(1008, "not allowed")
        if how == "accepted":
            await websocket.accept()
            raise WebSocketException(4003, "not any more")
        if how == "close":
            await websocket.close(4001, "early")
            return
        task = BackgroundTask(note, "background task")
        await websocket.send_denial_response(JSONResponse({"detail": how}, 401, {"x-why": how}, background=task))

    @app.websocket("/raise/{when}")
    async def fail(websocket: WebSocket, when: str, database: str = Depends(session)) -> None:
        if when == "early":
            raise Wrong(when)
        await websocket.accept()
        if when == "accepted":
            raise Wrong(when)
        try:
            text = await websocket.receive_text()
            if when == "closed":
                await websocket.close()
            raise Wrong(f"{when} by {text}")
        except WebSocketDisconnect as exc:
            raise Wrong(f"after {exc.code}") from exc

    @app.websocket("/work/{where}")
    async def work(websocket: WebSocket, where: str) -> None:
        """It is left while it works, and cleans up."""
        await websocket.accept()
        await anyio.to_thread.run_sync(note, "from a thread")
        await websocket.send_text("begun")
        try:
            if where == "receiving":
                await websocket.receive_text()
            elif where == "sending":
                while True:
                    await websocket.send_text("more")
                    await anyio.sleep(0.005)
            else:
                await anyio.sleep(seconds(3))
                await websocket.receive_text()
        except WebSocketDisconnect as exc:
            note(f"left with {exc.code}")
        except BaseException as exc:
            note(f"left by {type(exc).__name__}")
            raise
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(seconds(1))
                note("saved")

    @app.websocket("/lets-out")
    async def let_out(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("begun")
        await websocket.receive_text()

    @app.get("/http")
    async def http(tasks: BackgroundTasks) -> str:
        tasks.add_task(note, "after the response")
        return "http"

    @app.websocket("/task")
    async def task(websocket: WebSocket) -> None:
        """A task reads, and another one writes."""
        await websocket.accept()
        heard: asyncio.Queue[str] = asyncio.Queue()

        async def read() -> None:
            with contextlib.suppress(WebSocketDisconnect):
                while True:
                    heard.put_nowait(await websocket.receive_text())
            heard.put_nowait("end")

        reader = asyncio.create_task(read())
        try:
            while (text := await heard.get()) != "end":
                await websocket.send_text(text.upper())
            note("heard the end")
        finally:
            reader.cancel()
            note("task has ended")

    @app.websocket("/chat/{name}")
    async def chat(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        present.append(websocket)
        await websocket.send_text(f"{name} {websocket.state.database}")
        try:
            while True:
                text = await websocket.receive_text()
                for one in present:
                    await one.send_text(f"{name}: {text}")
        except WebSocketDisconnect:
            present.remove(websocket)
            note(f"{len(present)} are there")

    return app


def echoes(client: TestClient, see: Callable[[object], None]) -> None:
    with client.websocket_connect("/echo?who=echo", ["chat", "other"], headers={"x-token": "t"}) as websocket:
        see(websocket.accepted_subprotocol)
        see(websocket.extra_headers)
        websocket.send_text("hello")
        see(websocket.receive_text())
        websocket.send_bytes(b"\x00")
        see(websocket.receive_bytes())
        websocket.send_json({"a": [1]})
        see(websocket.receive_json())
        websocket.send_json({"a": [2]}, mode="binary")
        see(websocket.receive_json(mode="binary"))
        websocket.send_text("last")
        see(websocket.receive())
        websocket.close(4000, "bye")


def closes(client: TestClient, code: int, see: Callable[[object], None]) -> None:
    with client.websocket_connect(f"/close/{code}?who=close") as websocket:
        see(websocket.receive_json())
        try:
            websocket.receive_text()
        except WebSocketDisconnect as exc:
            see((exc.code, exc.reason))


def refuses(client: TestClient, how: str, see: Callable[[object], None]) -> None:
    try:
        with client.websocket_connect(f"/refuse/{how}?who=refuse") as websocket:
            see(websocket.receive())
    except WebSocketDenialResponse as denied:
        see((denied.status_code, sorted(denied.headers.items()), denied.content))
    except WebSocketDisconnect as exc:
        see((exc.code, exc.reason))


def raises(client: TestClient, when: str, see: Callable[[object], None]) -> None:
    with client.websocket_connect(f"/raise/{when}?who=raise") as websocket:
        if when in ("receives", "closed"):
            websocket.send_text("the client")
            see(websocket.receive_text())


def leaves(client: TestClient, where: str, see: Callable[[object], None]) -> None:
    with client.websocket_connect(f"/work/{where}?who=work") as websocket:
        see(websocket.receive_text())


def lets_out(client: TestClient, see: Callable[[object], None]) -> None:
    with client.websocket_connect("/lets-out") as websocket:
        see(websocket.receive_text())


def fails(client: TestClient, see: Callable[[object], None]) -> None:
    """The test itself fails in the block."""
    with client.websocket_connect("/echo?who=fails") as websocket:
        websocket.send_text("hello")
        assert websocket.receive_text() == "goodbye"


def tasks(client: TestClient, see: Callable[[object], None]) -> None:
    with client.websocket_connect("/task?who=task") as websocket:
        websocket.send_text("hello")
        see(websocket.receive_text())


def two(client: TestClient, see: Callable[[object], None]) -> None:
    with client, client.websocket_connect("/chat/ann?who=ann") as ann:
        see(ann.receive_text())
        with client.websocket_connect("/chat/bob?who=bob") as bob:
            see(bob.receive_text())
            ann.send_text("hello")
            see((ann.receive_text(), bob.receive_text()))
        ann.send_text("alone")
        see(ann.receive_text())


def requests(client: TestClient, see: Callable[[object], None]) -> None:
    response = client.get("/http")
    see((response.status_code, response.json()))


WORKS: dict[str, Callable[..., None]] = {
    "echo": echoes,
    **{f"closes with {code}": partial(closes, code=code) for code in (1000, 3000, 4999)},
    **{f"refuses by {how}": partial(refuses, how=how) for how in ("http", "websocket", "accepted", "close", "denial")},
    **{f"leaves {where}": partial(leaves, where=where) for where in ("receiving", "sending", "busy")},
    "fails": fails,
    "http": requests,
    "tasks": tasks,
    "two at once": two,
}
RAISES = {when: partial(raises, when=when) for when in ("accepted", "receives", "closed", "left")}


def runs(tests: dict[str, Callable[..., None]]) -> Callable[[Suite], None]:
    """Run each test with a client of its own, as a fixture makes it."""

    def run(suite: Suite) -> None:
        for backend in ("asyncio", "trio"):
            for name, test in tests.items():
                who = f"{name} on {backend}"
                if who != "tasks on trio":  # they are asyncio's own
                    with suite.raises(who):
                        test(TestClient(suite.app, backend=backend), see=partial(suite.note, who=who))

    return run


def visits(*paths: str) -> Callable[[Suite], None]:
    """Visit each path by httpx-ws."""

    async def visit(suite: Suite, path: str) -> None:
        async with (
            httpx.AsyncClient(transport=ASGIWebSocketTransport(suite.app)) as client,
            httpx_ws.aconnect_ws(f"http://test{path}?who={path}", client, subprotocols=["chat"]) as websocket,
        ):
            suite.note(websocket.subprotocol, path)
            if path == "/echo":
                await websocket.send_text("hello")
            suite.note(await websocket.receive_text(), path)
            if path.startswith("/close"):
                await websocket.receive_text()

    def run(suite: Suite) -> None:
        for path in paths:
            with suite.raises(path):
                anyio.run(visit, suite, path)

    return run


HTTPX_WS = ("/echo", "/close/4001", "/refuse/websocket", "/refuse/close", "/lets-out", "/work/receiving")

APPS = (
    App("testclient", made, runs(WORKS), in_process=True),
    App("testclient-raises", made, runs(RAISES), in_process=True),
    App("testclient-raises-early", made, runs({"early": partial(raises, when="early")}), in_process=True),
    App("testclient-lets-out", made, runs({"leaves": lets_out}), in_process=True),
    App("httpx-ws", made, visits(*HTTPX_WS), in_process=True),
    App("httpx-ws-closes-streams", made, visits("/work/sending", "/work/busy"), in_process=True),
)
