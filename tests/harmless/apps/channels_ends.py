"""What Channels consumers do when a client leaves."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from asgiref.sync import async_to_sync
from channels.consumer import AsyncConsumer, SyncConsumer
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import get_channel_layer

from harmless.client import Talk
from harmless.django_ import setup
from harmless.model import PLAY, App, note, seconds

setup()
there: Counter[str] = Counter()


def group() -> str:
    return PLAY.get().replace("/", ".")


MANY = 150
"""More than the guard ever tells an app of the end. Some servers never stop, and would be busy with nothing else."""


def told(consumer: Any) -> None:
    """Count how often it is told of the end, and stop it if that never stops."""
    consumer.told = getattr(consumer, "told", 0) + 1
    if consumer.told > MANY:
        raise StopConsumer


def members() -> int:
    return len(get_channel_layer().groups.get(group(), {}))


class NeverStops(AsyncWebsocketConsumer):
    """Counts who is there, and overrides what would raise `StopConsumer`."""

    async def connect(self) -> None:
        await self.channel_layer.group_add(group(), self.channel_name)
        there[group()] += 1
        await self.accept()
        await self.send("welcome")

    async def websocket_disconnect(self, message: Any) -> None:
        told(self)
        there[group()] -= 1
        note(f"{there[group()]} are there")
        await self.channel_layer.group_send(group(), {"type": "left"})

    async def left(self, event: Any) -> None:
        await self.send("somebody left")


class NeverStopsLow(AsyncConsumer):
    async def websocket_connect(self, message: Any) -> None:
        await self.send({"type": "websocket.accept"})

    async def websocket_receive(self, message: Any) -> None:
        await self.send({"type": "websocket.send", "text": message["text"]})

    async def websocket_disconnect(self, message: Any) -> None:
        told(self)
        note("disconnect")


class NeverStopsSync(SyncConsumer):
    def websocket_connect(self, message: Any) -> None:
        self.send({"type": "websocket.accept"})

    def websocket_receive(self, message: Any) -> None:
        self.send({"type": "websocket.send", "text": message["text"]})

    def websocket_disconnect(self, message: Any) -> None:
        told(self)
        note("disconnect")


async def ann_hears_of_it(talk: Talk) -> None:
    async with talk.connect(who="ann") as ann:
        await ann.hear()
        async with talk.connect(who="bob") as bob:
            await bob.hear()
        await ann.hear()
        await asyncio.sleep(seconds(5))


async def echoes_and_leaves(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("hello")
        await client.hear()
    await talk.noted("disconnect")
    await asyncio.sleep(seconds(5))


class Member(AsyncWebsocketConsumer):
    """In a group while it is connected, with a job at the end."""

    async def connect(self) -> None:
        if self.scope["path"] == "/census":
            await self.accept()
            await self.send(f"{members()} members")
            await self.close()
            return
        await self.channel_layer.group_add(group(), self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        if self.scope["path"] != "/census":
            await self.at_the_end()
            await self.channel_layer.group_discard(group(), self.channel_name)
            note("disconnect() is done")

    async def at_the_end(self) -> None:
        pass

    async def said(self, event: Any) -> None:
        await self.send(event["text"])


class Busy(Member):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        for number in range(12):
            await self.send(str(number))
            await asyncio.sleep(seconds(0.5))
        note("all is sent")


class ClosesEarly(Member):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.close(4000)
        await self.channel_layer.group_send(group(), {"type": "said", "text": "too late"})


class Farewell(Member):
    async def at_the_end(self) -> None:
        await self.send("farewell")
        note("farewell")


class Job(Member):
    async def at_the_end(self) -> None:
        try:
            await asyncio.sleep(seconds(12))
        except BaseException as exc:
            note(f"job lost: {type(exc).__name__}")
            raise
        note("job saved")


class FarewellSync(WebsocketConsumer):
    def connect(self) -> None:
        async_to_sync(self.channel_layer.group_add)(group(), self.channel_name)
        self.accept()

    def disconnect(self, code: int) -> None:
        self.send("farewell")
        async_to_sync(self.channel_layer.group_discard)(group(), self.channel_name)
        note(f"disconnect() is done, {members()} members")


async def leaves_busy(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("go")
        await client.hear(2)
    await census(talk, 30)


async def is_closed(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("go")
        await client.hear_all()
    await census(talk, 10)


async def just_leaves(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.leave()
    await census(talk, 30)


async def leaves_sync(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.leave()
    await asyncio.sleep(seconds(10))


async def census(talk: Talk, after: float) -> None:
    await asyncio.sleep(seconds(after))
    async with talk.connect("/census", who="census") as client:
        await client.hear_all()


APPS = (
    App("channels-no-stop-consumer", NeverStops.as_asgi, ann_hears_of_it),
    App("channels-async-consumer", NeverStopsLow.as_asgi, echoes_and_leaves),
    App("channels-sync-consumer", NeverStopsSync.as_asgi, echoes_and_leaves),
    App("channels-busy", Busy.as_asgi, leaves_busy),
    App("channels-group-message-after-close", ClosesEarly.as_asgi, is_closed),
    App("channels-farewell", Farewell.as_asgi, just_leaves),
    App("channels-farewell-sync", FarewellSync.as_asgi, leaves_sync),
    App("channels-long-disconnect", Job.as_asgi, just_leaves),
)
