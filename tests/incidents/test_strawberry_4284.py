"""strawberry #4284: a subscription must end when its client leaves, with its generator closed."""

from __future__ import annotations

import contextlib
import json

from asgi_wsguard.probe.model import Hear, Say, Vanish

NEEDS = ("3.12", "strawberry-graphql==0.341.2", "starlette==1.10.0", "uvicorn==0.54.0", "websockets==17.4")
SERVER = "-m uvicorn --port {port} {app}"
CLOSED = "the generator is closed"
PROTOCOL = "graphql-transport-ws"
SUBSCRIBE = {"id": "1", "type": "subscribe", "payload": {"query": "subscription { count }"}}

with contextlib.suppress(ImportError):  # it is there where the app is served
    import asyncio
    from collections.abc import AsyncGenerator

    import strawberry
    from strawberry.asgi import GraphQL

    @strawberry.type
    class Query:
        hello: str = "world"

    @strawberry.type
    class Subscription:
        @strawberry.subscription
        async def count(self) -> AsyncGenerator[int, None]:
            try:
                yield 1
                await asyncio.sleep(3600)
            finally:
                print(CLOSED, flush=True)

    app = GraphQL(strawberry.Schema(Query, subscription=Subscription))


def test_guarded_it_ends_as_bare(served):
    for times, kind in enumerate(("bare", "guarded"), 1):
        steps = Say('{"type": "connection_init"}'), Hear(), Say(json.dumps(SUBSCRIBE)), Hear(), Vanish()
        ack, first = map(json.loads, served.visit(kind, *steps, subprotocols=[PROTOCOL]).messages)
        assert ack["type"] == "connection_ack"
        assert first["payload"]["data"] == {"count": 1}
        assert served.ends(kind)
        assert served.log().count(CLOSED) == times
    assert "Traceback" not in served.log()
