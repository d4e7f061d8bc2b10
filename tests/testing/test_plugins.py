"""The pytest plugin beside others, and a session where Django runs the tests."""

from __future__ import annotations

import pytest

APPS = """
import asyncio
from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer

async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({**message, "type": "websocket.send"})

async def returns(scope, receive, send): ...

async def leaves_a_task(scope, receive, send):
    asyncio.get_running_loop().create_task(asyncio.sleep(3600))
    await send({"type": "websocket.close"})
"""
SUITE = """
import pytest
from apps import *

@pytest.mark.parametrize("number", range(8))
async def test_good(websocket_session, number):
    async with websocket_session(WebSocketGuardMiddleware(echo), "/ws") as ws:
        await ws.send_json(number)
        assert await ws.receive_json() == number

@pytest.fixture
async def ws(websocket_session):
    async with websocket_session(echo) as ws:
        yield ws

async def test_fixture(ws):
    await ws.send_text("hi")
    assert await ws.receive_text() == "hi"

async def test_bad_bare(websocket_session):
    async with websocket_session(returns):
        pass

async def test_bad_answer():
    await StrictServer("/ws").run(WebSocketGuardMiddleware(returns))

async def test_bad_task():
    await StrictServer("/ws").run(WebSocketGuardMiddleware(leaves_a_task))
"""
ANYIO = """
pytestmark = pytest.mark.anyio

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""
STRICT = "[pytest]\nasgi_wsguard_strict = true\n"


def loop_scope(scope: str) -> str:
    return f"asyncio_default_fixture_loop_scope = {scope}\nasyncio_default_test_loop_scope = {scope}\n"


@pytest.mark.parametrize(
    ("mark", "options", "arguments"),
    [
        (ANYIO, loop_scope("function"), ["-n", "2"]),
        ("", "asyncio_mode = auto\n" + loop_scope("function"), []),
        ("", "asyncio_mode = auto\n" + loop_scope("session"), ["-n", "2"]),
    ],
    ids=["anyio and xdist", "pytest-asyncio", "pytest-asyncio with one loop and xdist"],
)
def test_beside_other_plugins(pytester: pytest.Pytester, mark: str, options: str, arguments: list[str]) -> None:
    pytester.makeini(STRICT + options)
    pytester.makepyfile(apps=APPS, test_suite=SUITE + mark)
    result = pytester.runpytest_subprocess("-p", "no:faker", *arguments)
    result.assert_outcomes(passed=9, failed=3)
    result.stdout.fnmatch_lines_random(
        [
            "E *ContractBroken: [[]H1[]] *",
            "[[]wsguard-H1[]] '/ws': The app returned without answering the handshake *",
            "'/ws': the app left the task * behind; it waits *",
            "FAILED *::test_bad_bare*",
            "FAILED *::test_bad_answer*",
            "FAILED *::test_bad_task*",
        ]
    )


def test_starlettes_client(pytester: pytest.Pytester) -> None:
    pytester.makeini(STRICT)
    pytester.makepyfile(
        """
        import asyncio
        import signal
        from starlette.applications import Starlette
        from starlette.routing import WebSocketRoute
        from starlette.testclient import TestClient
        from asgi_wsguard import Drainer, WebSocketGuardMiddleware

        async def good(websocket):
            await websocket.accept()
            async for text in websocket.iter_text():
                await websocket.send_text(text)

        async def bad(websocket):
            task = asyncio.get_running_loop().create_task(asyncio.sleep(3600))
            await websocket.accept()
            await websocket.send_text("hi")
            await websocket.close()

        app = WebSocketGuardMiddleware(
            Starlette(routes=[WebSocketRoute("/good", good), WebSocketRoute("/bad", bad)]),
            drainer=Drainer(on_signal=[signal.SIGTERM]),
        )

        def test_good(caplog):
            with TestClient(app).websocket_connect("/good") as ws:
                ws.send_text("hi")
                assert ws.receive_text() == "hi"
            assert caplog.records == []

        def test_bad():
            with TestClient(app).websocket_connect("/bad") as ws:
                assert ws.receive_text() == "hi"
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:faker", "-p", "no:asyncio")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["'/bad': the app left the task * behind; it waits *", "FAILED *::test_bad*"])


DJANGO = """
import unittest

import django
from django.conf import settings

settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
)
django.setup()

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.contrib.auth.models import User
from django.test import TransactionTestCase
from django.test.runner import DiscoverRunner
from django.urls import path

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import WebSocketSession


class Names(AsyncWebsocketConsumer):
    async def receive(self, text_data=None, bytes_data=None):
        user = await database_sync_to_async(User.objects.get)(pk=int(text_data))
        await self.send(user.username)


app = URLRouter([path("names", Names.as_asgi())])


class NamesTest(TransactionTestCase):
    async def test_names(self):
        user = await User.objects.acreate(username="ada")
        for application in (app, WebSocketGuardMiddleware(app)):
            async with WebSocketSession(application, "/names") as ws:
                await ws.send_text(str(user.pk))
                self.assertEqual(await ws.receive_text(), "ada")
            self.assertEqual(ws.close_code, 1000)

    async def test_that_must_fail(self):
        async with WebSocketSession(app, "/names") as ws:
            await ws.send_text("0")
            await ws.receive_text()


if __name__ == "__main__":
    raise SystemExit(DiscoverRunner().run_tests(["__main__"]))
"""


def test_django(pytester: pytest.Pytester) -> None:
    result = pytester.runpython(pytester.makepyfile(django_names=DJANGO))
    result.stderr.fnmatch_lines_random(["Ran 2 tests in *", "FAILED (errors=1)", "ERROR: test_that_must_fail *"])
    result.stderr.fnmatch_lines(["*DoesNotExist: User matching query does not exist."])
    assert result.ret == 1
