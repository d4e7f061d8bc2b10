"""Ariadne's GraphQL subscriptions, with gql as the client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any

from ariadne import SubscriptionType, gql, make_executable_schema
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler

from harmless.apps.strawberry_ import connect, hear
from harmless.client import Talk
from harmless.model import App, note, seconds

TYPES = gql("type Query { greeting: String } type Subscription { count(to: Int!): Int fails: Int }")


def served() -> Any:
    subscription = SubscriptionType()

    @subscription.source("count")
    async def generate(obj: Any, info: Any, to: int) -> AsyncGenerator[int, None]:
        try:
            for number in range(to):
                yield number
                await asyncio.sleep(seconds(1))
        finally:
            note("subscription over")

    @subscription.source("fails")
    async def fail(obj: Any, info: Any) -> AsyncGenerator[int, None]:
        yield 1
        raise LookupError("no such row")

    @subscription.field("count")
    @subscription.field("fails")
    def resolve(number: int, info: Any, to: int = 0) -> int:
        return number

    async def on_disconnect(websocket: Any) -> None:
        await asyncio.sleep(seconds(12))
        note("on_disconnect")

    limit = timedelta(seconds=seconds(30))
    handler = GraphQLTransportWSHandler(on_disconnect=on_disconnect, connection_init_wait_timeout=limit)
    return GraphQL(make_executable_schema(TYPES, subscription), websocket_handler=handler)


async def subscribes(talk: Talk) -> None:
    async with connect(talk) as session:
        await hear(talk, session, "subscription { count(to: 3) }")
        await hear(talk, session, "subscription { fails }")
    await talk.noted("on_disconnect")


async def leaves(talk: Talk) -> None:
    async with connect(talk) as session:
        await hear(talk, session, "subscription { count(to: 5) }", results=2)
        await talk.noted("subscription over")
    await talk.noted("on_disconnect")


APPS = (
    App("ariadne-subscribes", served, subscribes),
    App("ariadne-leaves", served, leaves),
)
