"""A session in `unittest`, which sets up a test in one task and runs it in another."""

# ruff: noqa: PT009, PT027
from __future__ import annotations

import unittest
from typing import Any

from asgi_wsguard.testing import ContractBroken, WebSocketSession


async def greets(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "hi"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def returns(scope: Any, receive: Any, send: Any) -> None: ...


class Greeting(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self) -> None:
        self.session = WebSocketSession(greets)
        await self.session.__aenter__()

    async def asyncTearDown(self) -> None:
        await self.session.__aexit__(None, None, None)

    async def test_one_for_each_test(self) -> None:
        self.assertEqual(await self.session.receive_text(), "hi")

    async def test_one_within_a_test(self) -> None:
        async with WebSocketSession(greets) as ws:
            self.assertEqual(await ws.receive_text(), "hi")
        self.assertEqual(ws.close_code, 1000)

    async def test_no_answer(self) -> None:
        with self.assertRaisesRegex(ContractBroken, "H1"):
            async with WebSocketSession(returns):
                self.fail("not answered")
