"""NiceGUI: a page that its user clicks on, leaves, is cut off from, or has never opened."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import html
import json
import re
from collections.abc import AsyncIterator
from contextvars import Context
from typing import Any

import aiohttp
import socketio

from harmless.client import Talk
from harmless.model import App, note, seconds


class StartsWithItsFirstClient:
    """Starts NiceGUI where the server's lifespan does not reach it, in tasks that belong to no play."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self._started: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            self._started = self._started or asyncio.create_task(self._start(), context=Context())
            await self._started
        await self.app(scope, receive, send)

    async def _start(self) -> None:
        from nicegui import core

        if not core.app.is_started:
            self._lifespan = self.app.router.lifespan_context(self.app)
            await self._lifespan.__aenter__()
        # Its ping task outlives a connection by up to an interval, and one that looks after all clients is nobody's.
        core.sio.eio.ping_interval = seconds(10)
        core.sio.eio.start_service_task = False


@functools.cache  # there is one NiceGUI in a process, which keeps each user's page apart
def served() -> StartsWithItsFirstClient:
    # Not by the processes of the clients: it makes an app and its threads, and takes more than a second.
    from fastapi import FastAPI
    from nicegui import Client, ui

    @ui.page("/", reconnect_timeout=seconds(3))
    def home(client: Client) -> None:
        clicks = ui.label("0 clicks")
        ticks = ui.label("0 ticks")

        async def click() -> None:
            note("clicked")
            clicks.set_text(f"{int(clicks.text.split()[0]) + 1} clicks")

        async def save() -> None:
            await asyncio.sleep(seconds(12))
            note("saved")

        ui.button("click", on_click=click)
        ui.timer(seconds(4), lambda: ticks.set_text(f"{int(ticks.text.split()[0]) + 1} ticks"))
        client.on_connect(lambda: note("connected"))
        client.on_disconnect(save)
        client.on_delete(lambda: note("forgotten"))

    app = FastAPI()
    ui.run_with(app, show_welcome_message=False)
    return StartsWithItsFirstClient(app)


class Page:
    """A page in a browser: what it shows, and its websocket."""

    def __init__(self, talk: Talk, who: str) -> None:
        self._talk = talk
        self._who = who
        self._updates: asyncio.Queue[str] = asyncio.Queue()
        self.socket = socketio.AsyncClient(reconnection=False)
        self.id = "nobody's"
        self.elements: dict[str, Any] = {}

        @self.socket.on("update")
        async def update(elements: dict[str, Any]) -> None:
            for element in elements.values():
                if isinstance(element, dict) and "text" in element:
                    await self._updates.put(element["text"])

    async def open(self) -> None:
        """Get the HTML, and read it as the script in it does."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self._talk.url("/", self._who, scheme="http")) as response,
        ):
            text = await response.text()
            self._talk.note(f"{response.status} {response.content_type}", self._who)
        self.elements = json.loads(html.unescape(re.search("String.raw`(.*?)`", text, re.DOTALL)[1]))
        self.id = re.search("'client_id': '(.*?)'", text)[1]

    async def connect(self) -> None:
        """Connect, with what the script sends."""
        query = {"client_id": self.id, "next_message_id": 0, "implicit_handshake": "true", "tab_id": "tab"}
        url = self._talk.url("/", self._who, scheme="http")
        for name, value in {**query, "document_id": "document"}.items():
            url += f"{'&' if '?' in url else '?'}{name}={value}"
        path = f"{self._talk.play}/_nicegui_ws/socket.io"
        try:
            await self.socket.connect(url, transports=["websocket"], socketio_path=path, wait_timeout=30)
            self._talk.note("connected", self._who)
        except socketio.exceptions.ConnectionError as exc:
            self._talk.note(f"{exc}", self._who)

    async def click(self) -> None:
        """Click on the button."""
        number, button = next(item for item in self.elements.items() if item[1]["tag"] == "q-btn")
        event = next(event for event in button["events"] if event["type"] == "click")
        message = {"id": int(number), "client_id": self.id, "listener_id": event["listener_id"], "args": ["{}"]}
        await self.socket.emit("event", message)

    async def shows(self, text: str) -> None:
        """Wait until an update of the page has this text."""
        async with asyncio.timeout(30):
            while await self._updates.get() != text:
                pass
        self._talk.note(text, self._who)

    async def leave(self) -> None:
        """Close the tab."""
        await self.socket.disconnect()
        await self.socket.eio.wait()


@contextlib.asynccontextmanager
async def opened(talk: Talk, who: str = "") -> AsyncIterator[Page]:
    page = Page(talk, who)
    await page.open()
    await page.connect()
    try:
        yield page
    finally:
        await page.leave()


async def clicks(talk: Talk) -> None:
    async with opened(talk) as page:
        await page.click()
        await page.shows("1 clicks")
        await page.shows("2 ticks")
    await talk.noted("saved", "forgotten")


async def cut_off(talk: Talk) -> None:
    async with opened(talk) as page:
        await page.shows("1 ticks")
        page.socket.eio.ws._response.connection.transport.abort()
    await talk.noted("saved", "forgotten")


async def two_tabs(talk: Talk) -> None:
    async with opened(talk, "ann") as ann:
        async with opened(talk, "bob") as bob:
            await bob.click()
            await bob.shows("1 clicks")
        await ann.click()
        await ann.shows("1 clicks")
        await talk.noted("saved", "forgotten")
        await ann.click()
        await ann.shows("2 clicks")


async def stranger(talk: Talk) -> None:
    page = Page(talk, "")
    await page.connect()
    await page.leave()


APPS = (
    App("nicegui-clicks", served, clicks),
    App("nicegui-cut-off", served, cut_off),
    App("nicegui-two-tabs", served, two_tabs),
    App("nicegui-stranger", served, stranger),
)
