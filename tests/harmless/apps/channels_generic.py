"""Channels consumers of every generic kind, with a channel layer and a database."""

from __future__ import annotations

import asyncio
from typing import Any

from asgiref.sync import async_to_sync
from channels.db import database_sync_to_async
from channels.exceptions import DenyConnection
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.routing import URLRouter
from django.db import connection
from django.urls import path

from harmless.client import Talk
from harmless.django_ import setup
from harmless.model import PLAY, App, note, seconds

setup()


def group() -> str:
    return PLAY.get().replace("/", ".")


def saved(text: str) -> int:
    """Save a line, and return how many there are of this play."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS lines (play TEXT, text TEXT)")
        cursor.execute("INSERT INTO lines VALUES (%s, %s)", [PLAY.get(), text])
        cursor.execute("SELECT COUNT(*) FROM lines WHERE play = %s", [PLAY.get()])
        (count,) = cursor.fetchone()
    return int(count)


class Sync(WebsocketConsumer):
    def connect(self) -> None:
        async_to_sync(self.channel_layer.group_add)(group(), self.channel_name)
        self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        text = text_data or repr(bytes_data)
        if text == "close":
            self.close(4001, "as you wish")
        else:
            count = saved(text)
            async_to_sync(self.channel_layer.group_send)(group(), {"type": "said", "text": f"{count}: {text}"})

    def said(self, event: Any) -> None:
        self.send(event["text"])

    def disconnect(self, code: int) -> None:
        async_to_sync(self.channel_layer.group_discard)(group(), self.channel_name)
        note(f"disconnect {code}, {saved('disconnect')} lines")


class Async(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        await self.channel_layer.group_add(group(), self.channel_name)
        await self.accept("chat" if "chat" in self.scope["subprotocols"] else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        text = text_data or repr(bytes_data)
        if text == "close":
            await self.close(4001, "as you wish")
        else:
            count = await database_sync_to_async(saved)(text)
            await self.channel_layer.group_send(group(), {"type": "said", "text": f"{count}: {text}"})

    async def said(self, event: Any) -> None:
        await self.send(event["text"])

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(group(), self.channel_name)
        note(f"disconnect {code}, {await database_sync_to_async(saved)('disconnect')} lines")


class SyncJson(JsonWebsocketConsumer):
    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json({"echo": content, "count": saved(str(content))})

    def disconnect(self, code: int) -> None:
        note(f"disconnect {code}")


class AsyncJson(AsyncJsonWebsocketConsumer):
    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json({"echo": content}, close=4002 if content == "close" else False)

    async def disconnect(self, code: int) -> None:
        note(f"disconnect {code}")


class Refuses(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        note("refused")
        raise DenyConnection

    async def disconnect(self, code: int) -> None:
        note(f"disconnect {code}")


async def two_talk(talk: Talk) -> None:
    """Two in a group; one leaves, and the other is closed."""
    async with talk.connect(who="ann", subprotocols=["chat"]) as ann:
        async with talk.connect(who="bob") as bob:
            await ann.say("hello")
            await ann.hear()
            await bob.hear()
            await bob.say(b"bytes")
            await ann.hear()
            await bob.hear()
            await bob.leave(3001)
        await asyncio.sleep(seconds(5))
        await ann.say("alone")
        await ann.hear()
        await ann.say("close")
        await ann.hear_all(within=10)
    await asyncio.sleep(seconds(5))


async def json_echo(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say('{"a": [1, null]}')
        await client.hear()
        await client.say('"close"')
        await client.hear(2, within=5)
    await asyncio.sleep(seconds(5))


async def is_refused(talk: Talk) -> None:
    async with talk.connect():
        pass
    await asyncio.sleep(seconds(5))


def routed(consumer: Any) -> Any:
    return lambda: URLRouter([path("", consumer.as_asgi())])


APPS = (
    App("channels-websocket-consumer", routed(Sync), two_talk),
    App("channels-async-websocket-consumer", routed(Async), two_talk),
    App("channels-json-consumer", routed(SyncJson), json_echo),
    App("channels-async-json-consumer", routed(AsyncJson), json_echo),
    App("channels-refuses", routed(Refuses), is_refused),
)
