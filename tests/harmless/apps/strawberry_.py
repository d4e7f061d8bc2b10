"""Strawberry's subscriptions, with gql as the client."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import strawberry
from gql import Client, gql
from gql.transport.exceptions import TransportError
from gql.transport.websockets import WebsocketsTransport
from strawberry.asgi import GraphQL

from harmless.client import Talk
from harmless.model import App, note, seconds


@strawberry.type
class Query:
    @strawberry.field
    async def greeting(self) -> str:
        note("greeting")
        return "hello"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int) -> AsyncGenerator[int, None]:
        try:
            for number in range(to):
                yield number
                await asyncio.sleep(seconds(1))
        finally:
            note("subscription ends")
            await asyncio.sleep(seconds(12))
            note("subscription over")

    @strawberry.subscription
    async def fails(self) -> AsyncGenerator[int, None]:
        yield 1
        raise LookupError("no such row")


class Schema(strawberry.Schema):
    async def stream(self, query: Any, **kwargs: Any) -> Any:
        if "greeting" in query:
            raise LookupError("no such schema")
        return await super().stream(query, **kwargs)


def served() -> Any:
    return GraphQL(strawberry.Schema(Query, subscription=Subscription))


# 12: took two seconds longer.
def operation_raises() -> Any:
    return GraphQL(Schema(Query, subscription=Subscription))


def connect(talk: Talk) -> Client:
    """Return gql's client of an app that speaks graphql-transport-ws."""
    url, options = talk.url(), {"proxy": None, "ping_interval": None}
    protocols = ["graphql-transport-ws"]
    return Client(transport=WebsocketsTransport(url, subprotocols=protocols, connect_args=options, close_timeout=30))


async def hear(talk: Talk, session: Any, query: str, results: int = 1000) -> None:
    """Subscribe, and note so many results, or the error."""
    stream = session.subscribe(gql(query))
    try:
        async for result in stream:
            talk.note(f"{result}")
            results -= 1
            if not results:
                break
        else:
            talk.note("complete")
    except TransportError as exc:
        talk.note(f"{type(exc).__name__}: {exc}")
    await stream.aclose()


async def subscribes(talk: Talk) -> None:
    async with connect(talk) as session:
        await hear(talk, session, "subscription { count(to: 5) }")
        await hear(talk, session, "subscription { fails }")
        await hear(talk, session, "subscription { nonsense }")
        await hear(talk, session, "query { greeting }")


async def cancels(talk: Talk) -> None:
    async with connect(talk) as session:
        await hear(talk, session, "subscription { count(to: 1000) }", results=3)
        await talk.noted("subscription over")
        await hear(talk, session, "query { greeting }")


async def leaves(talk: Talk) -> None:
    async with connect(talk) as session:
        await hear(talk, session, "subscription { count(to: 5) }", results=2)
        await talk.noted("subscription ends")
    await talk.noted("subscription over")


async def starts_it(client: Any) -> None:
    await client.say('{"type": "connection_init"}')
    await client.hear()
    query = '{"query": "subscription { count(to: 1000) }"}'
    await client.say(f'{{"type": "subscribe", "id": "1", "payload": {query}}}')
    await client.hear(2)


async def vanishes(talk: Talk) -> None:
    async with talk.connect(subprotocols=["graphql-transport-ws"]) as client:
        await starts_it(client)
        await client.vanish()
    await talk.noted("subscription ends")


# 12: took five seconds longer.
async def cancels_as_it_stops(talk: Talk) -> None:
    async with talk.connect(subprotocols=["graphql-transport-ws"]) as client:
        await starts_it(client)
        await client.say('{"type": "complete", "id": "1"}')
        talk.server.process.terminate()
        began = time.monotonic()
        await client.hear_all()
        await asyncio.to_thread(talk.server.process.wait, 20)
        talk.note(f"stopped, {'late' if time.monotonic() - began > 2 else 'in time'}")


APPS = (
    App("strawberry-subscribes", served, subscribes),
    App("strawberry-cancels", served, cancels),
    App("strawberry-leaves", served, leaves),
    App("strawberry-vanishes", served, vanishes),
    App("strawberry-operation-raises", operation_raises, subscribes),
    App(
        "strawberry-stops",
        served,
        cancels_as_it_stops,
        stops=True,
        servers=("uvicorn-sansio", "uvicorn-websockets", "uvicorn-wsproto"),
    ),
)
