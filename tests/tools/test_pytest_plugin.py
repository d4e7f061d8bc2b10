"""The pytest plugin, in runs of pytest of its own."""

from __future__ import annotations

import logging
import textwrap

import pytest

from asgi_wsguard import WebSocketGuardMiddleware

pytestmark = pytest.mark.usefixtures("small_heap")  # each run collects garbage again and again

APPS = """
import asyncio
import logging
import anyio
import pytest
from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.testing import StrictServer

async def returns(scope, receive, send): ...

async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({**message, "type": "websocket.send"})

async def serve(app):
    "Stands for any test client."
    await StrictServer("/ws").run(WebSocketGuardMiddleware(app))

async def forget_a_task():
    async def forever():
        await asyncio.get_running_loop().create_future()

    asyncio.get_running_loop().create_task(forever())
    await asyncio.sleep(0)

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


class Runner:
    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def run(self, tests: str, *args: str, ini: str = "") -> pytest.RunResult:
        """Run the tests; an `ini` is for `pytest.ini`."""
        self.pytester.makeini(f"[pytest]\n{ini}")
        self.pytester.makepyfile(apps=APPS)
        self.pytester.makepyfile("from apps import *\n" + textwrap.dedent(tests))
        return self.pytester.runpytest_inprocess("-p", "no:asyncio", *args)


@pytest.fixture
def runner(pytester: pytest.Pytester) -> Runner:
    return Runner(pytester)


def passed(result: pytest.RunResult, **outcomes: int) -> None:
    result.assert_outcomes(**{"passed": 0, **outcomes})  # type: ignore[arg-type]


def test_it_explains_itself(runner: Runner) -> None:
    result = runner.run("", "--markers", "--strict-markers")
    result.stdout.fnmatch_lines(["@pytest.mark.asgi_wsguard(strict=True): fail the test when *"])
    result = runner.run("", "--help")
    result.stdout.fnmatch_lines(["*asgi_wsguard_strict (bool):*"])
    result = runner.run("", "--fixtures")
    result.stdout.fnmatch_lines(["websocket_session -- *pytest_plugin.py:*"])


def test_the_fixture(runner: Runner) -> None:
    result = runner.run(
        """
        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
        async def test_echo(websocket_session, anyio_backend):
            async with websocket_session(echo, "/ws") as ws:
                await ws.send_text("hi")
                assert await ws.receive_text() == "hi"

        @pytest.mark.anyio
        async def test_no_answer(websocket_session):
            async with websocket_session(returns, "/ws"):
                pass
        """
    )
    passed(result, passed=2, failed=1)
    result.stdout.fnmatch_lines(["E *ContractBroken: [[]H1[]] the app returned without answering the handshake (*"])


TWO = """
@pytest.mark.anyio
async def test_good():
    await StrictServer("/ws").run(returns)
    logging.getLogger("asyncio").warning("Executing took 1 s")

@pytest.mark.anyio
async def test_bad():
    await serve(returns)
"""


def test_idle_without_marker_and_option(runner: Runner) -> None:
    passed(runner.run(TWO), passed=2)


def test_the_option(runner: Runner) -> None:
    guard = WebSocketGuardMiddleware.__call__
    result = runner.run(TWO, ini="asgi_wsguard_strict = true")
    assert WebSocketGuardMiddleware.__call__ is guard
    passed(result, passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "websocket apps broke the contract:",
            "[[]wsguard-H1[]] '/ws': The app returned without answering the handshake (*:*). The client got *500.",
            "FAILED *::test_bad*",
        ]
    )


def test_the_marker(runner: Runner) -> None:
    result = runner.run(TWO.replace("@pytest.mark.anyio", "@pytest.mark.asgi_wsguard\n@pytest.mark.anyio"))
    passed(result, passed=1, failed=1)


def test_the_marker_undoes_the_option(runner: Runner) -> None:
    tests = TWO.replace("@pytest.mark.anyio", "@pytest.mark.asgi_wsguard(strict=False)\n@pytest.mark.anyio")
    passed(runner.run(tests, ini="asgi_wsguard_strict = true"), passed=2)


def test_a_drainer_is_quiet(runner: Runner) -> None:
    """In whichever test comes first: a server in a thread gets no signal (D5), which is no fault of the app."""
    result = runner.run(
        """
        import signal
        import threading
        from asgi_wsguard import Drainer

        drainer = Drainer(on_signal=[signal.SIGUSR1])

        async def closes(scope, receive, send):
            await send({"type": "websocket.close"})

        async def serves(app):
            await StrictServer("/ws").run(WebSocketGuardMiddleware(app, drainer=drainer))

        def in_a_thread(app):
            thread = threading.Thread(target=anyio.run, args=[serves, app])
            thread.start()
            thread.join()

        def test_good():
            in_a_thread(closes)

        def test_bad():
            in_a_thread(returns)
        """,
        ini="asgi_wsguard_strict = true",
    )
    passed(result, passed=1, failed=1)


LEAVES = """
        async def leaves(scope, receive, send):
            await receive()
            await send({"type": "websocket.accept"})
            asyncio.get_running_loop().create_task(asyncio.sleep(3600), name="pump")
            await send({"type": "websocket.close"})
"""


@pytest.mark.parametrize("end", ["pass", "raise ZeroDivisionError", "await asyncio.sleep(3600)"])
def test_a_task_left_behind(runner: Runner, end: str) -> None:
    """The event loop is closed before the test is over, and cancels the task in silence."""
    result = runner.run(
        LEAVES
        + f"""
            {end}

        async def http(scope, receive, send):
            asyncio.get_running_loop().create_task(asyncio.sleep(3600))

        @pytest.mark.anyio
        async def test_good():
            await WebSocketGuardMiddleware(http)({{"type": "http"}}, None, None)

        @pytest.mark.anyio
        async def test_bad():
            logging.getLogger("asgi_wsguard").setLevel(logging.CRITICAL)

            async def client():
                try:
                    await serve(leaves)
                except ZeroDivisionError:
                    pass

            async with anyio.create_task_group() as group:
                group.start_soon(client)
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
        """,
        ini="asgi_wsguard_strict = true",
    )
    passed(result, passed=1, failed=1)
    result.stdout.fnmatch_lines(["'/ws': the app left the task pump (sleep) behind; it waits (*:*)"])


def test_a_session_and_the_marker(runner: Runner) -> None:
    result = runner.run(
        LEAVES
        + """
        @pytest.mark.anyio
        @pytest.mark.asgi_wsguard
        async def test_bad(websocket_session):
            async with websocket_session(WebSocketGuardMiddleware(leaves), "/ws"):
                pass
        """
    )
    passed(result, failed=1)
    result.stdout.fnmatch_lines(["E *ContractBroken: the app's task pump (sleep) was left behind; it waits (*"])
    result.stdout.fnmatch_lines(["'/ws': the app left the task pump (sleep) behind; it waits (*:*)"])


def test_a_watch_lets_a_coroutine_be_thrown_away(runner: Runner) -> None:
    result = runner.run(
        """
        def test_thrown_away():
            async def forever(scope, receive, send):
                await asyncio.get_running_loop().create_future()

            loop = asyncio.new_event_loop()

            async def main():
                server = StrictServer()
                running = WebSocketGuardMiddleware(forever)(server.scope, server.receive, server.send)
                running.send(None)
                return running

            running = loop.run_until_complete(main())
            loop.close()
            running.close()
        """,
        ini="asgi_wsguard_strict = true",
    )
    passed(result, passed=1)


# One event loop for all tests; anyio's plugin else closes it, and cancels every task in silence, within each test.
ONE_LOOP = """
        @pytest.fixture(scope="module")
        def anyio_backend():
            return "asyncio"

        @pytest.fixture(scope="module", autouse=True)
        async def loop(anyio_backend):
            yield
"""


@pytest.mark.parametrize("run", ["await ", "asyncio.new_event_loop().run_until_complete"])
def test_a_destroyed_task_fails_the_test_that_lost_it(runner: Runner, run: str) -> None:
    tests = (
        ONE_LOOP
        + f"""
        @pytest.mark.anyio
        async def test_good(): ...

        @pytest.mark.anyio
        async def test_bad():
            {run}(forget_a_task())

        @pytest.mark.anyio
        async def test_good_again(): ...
        """
    )
    if run != "await ":
        tests = tests.replace("@pytest.mark.anyio", "").replace("async def test", "def test")
    result = runner.run(tests, "-W", "ignore", ini="asgi_wsguard_strict = true")
    passed(result, passed=2, failed=1)
    result.stdout.fnmatch_lines(["Task was destroyed but it is pending!", "task: *forever*", "FAILED *::test_bad*"])


def test_what_an_unwatched_test_left_is_not_the_next_ones(runner: Runner) -> None:
    result = runner.run(
        ONE_LOOP
        + """
        @pytest.mark.anyio
        async def test_careless():
            await forget_a_task()

        @pytest.mark.anyio
        @pytest.mark.asgi_wsguard
        async def test_good(): ...
        """
    )
    passed(result, passed=2)


def test_what_comes_to_light_in_the_teardown(runner: Runner) -> None:
    result = runner.run(
        """
        @pytest.fixture
        async def served(anyio_backend):
            yield
            await serve(returns)

        @pytest.mark.anyio
        async def test_late(served): ...
        """,
        ini="asgi_wsguard_strict = true",
    )
    passed(result, passed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_late*", "[[]wsguard-H1[]] *"])


def test_a_test_that_fails_by_itself_keeps_its_failure(runner: Runner) -> None:
    result = runner.run(
        """
        @pytest.mark.anyio
        async def test_bad():
            await serve(returns)
            assert 1 == 2
        """,
        ini="asgi_wsguard_strict = true",
    )
    passed(result, failed=1)
    result.stdout.fnmatch_lines(["E *assert 1 == 2", "*asgi_wsguard*", "[[]wsguard-H1[]] *"])


def test_loggers_that_are_switched_off(runner: Runner) -> None:
    loggers = [logging.getLogger(name) for name in ("asgi_wsguard", "asyncio")]
    before = [(logger.disabled, logger.level) for logger in loggers]
    try:
        for logger in loggers:
            logger.disabled = True
            logger.setLevel(logging.CRITICAL)
        passed(runner.run(TWO, ini="asgi_wsguard_strict = true"), passed=1, failed=1)
        assert [(logger.disabled, logger.level) for logger in loggers] == [(True, logging.CRITICAL)] * 2
    finally:
        for logger, (disabled, level) in zip(loggers, before):
            logger.disabled = disabled
            logger.setLevel(level)


def test_unittest(runner: Runner) -> None:
    result = runner.run(
        """
        import unittest

        class Tests(unittest.IsolatedAsyncioTestCase):
            async def test_good(self): ...

            async def test_bad(self):
                await serve(returns)
        """,
        ini="asgi_wsguard_strict = true",
    )
    passed(result, passed=1, failed=1)
