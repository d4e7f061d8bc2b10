"""Litestar: a stream whose client speaks meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from litestar import Litestar
from litestar.handlers import websocket_stream

from harmless.client import Talk
from harmless.model import App, note, seconds


@websocket_stream("/")
async def numbers() -> AsyncGenerator[str, None]:
    try:
        for number in range(6):
            yield str(number)
            await asyncio.sleep(seconds(1))
    finally:
        note("the stream is closed")


def app() -> Any:
    return Litestar([numbers])


async def speaks_meanwhile(talk: Talk) -> None:
    async with talk.connect() as client:
        await client.say("hello", "still there?")
        await client.hear_all(within=10)


APPS = (App("litestar-stream-interrupted", app, speaks_meanwhile),)
