"""Plays scenarios through a test client: `python play.py <client> <kind> [<scenario> ...]`, all of them by default.

The client is one of the modules `with_<client>.py`; the kind is "guarded" or "bare". It prints a line of JSON for each
scenario. A client that hangs cannot be stopped: it is said so, and the process ends all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import logging
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from asgi_wsguard.probe import app as probe
from asgi_wsguard.probe.model import Closed, Hear, Leave, OneOf, Outcome, Pause, Say, Scenario, Until, Vanish
from asgi_wsguard.probe.scenarios import SCENARIOS
from asgi_wsguard.probe.visit import VISIT, Visit

PATIENCE = {"guarded": 30.0, "bare": 8.0}
"""Seconds that the client may take; bare, once the app has ended. The longest time-out of a client's own is 5."""

AT_ONCE = 12
WITHOUT_READING = {"sends-in-vain", "returns-in-vain"}


class Releases(logging.Handler):
    """Lets an app that nothing else can stop end once the guard has answered in its stead."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("[wsguard-H4]"):
            VISIT.get().released.set()


def cannot(client: Any, scenario: Scenario) -> str:
    """Say what this client cannot do of the scenario."""
    needs = {
        "leave before the answer": bool(scenario.early),
        "stop reading": scenario.name in WITHOUT_READING,
        "vanish": any(isinstance(step, Vanish) for step in scenario.steps),
    }
    return next((deed for deed, needed in needs.items() if needed and deed in client.CANNOT), "")


async def play(client: Any, kind: str, scenario: Scenario) -> dict[str, Any]:
    """Play the scenario, and say what the test's author sees."""
    missing = cannot(client, scenario)
    if missing:
        return {"scenario": scenario.name, "cannot": missing}
    heard: list[str] = []
    playing = asyncio.ensure_future(connected(client, kind, scenario, heard))
    hung = not await in_time(playing, scenario.name, kind)
    told = "hangs" if hung else playing.result()
    ended = await comes(lambda: called(scenario.name) is None or over(scenario.name))
    return {"scenario": scenario.name, "told": told, "heard": heard, "ended": ended}


async def in_time(playing: asyncio.Future[str], number: str, kind: str) -> bool:
    deadline = time.monotonic() + PATIENCE[kind]
    while not playing.done() and time.monotonic() < deadline:
        await asyncio.wait([playing], timeout=0.2)
        if kind == "bare" and not over(number):
            deadline = time.monotonic() + PATIENCE[kind]
    return playing.done()


async def connected(client: Any, kind: str, scenario: Scenario, heard: list[str]) -> str:
    """Do what the client does, and return what gets out of its `with` block."""
    path = f"/{kind}/{scenario.name}/{scenario.name}"
    timeout = {"timeout": PATIENCE[kind]} if kind == "guarded" else {}  # its own, else
    try:
        async with contextlib.AsyncExitStack() as stack:
            if scenario.company:
                first = await stack.enter_async_context(client.connect(probe.app, f"{path}-company", (), timeout))
                stack.push_async_callback(first.leave, 1000)
                await comes(lambda: called(f"{scenario.name}-company") is not None)
            reads = {"reads": False} if scenario.name in WITHOUT_READING else {}
            async with client.connect(probe.app, path, scenario.offers, timeout, **reads) as ws:
                for step in scenario.early:
                    await take(step, ws, scenario, heard)
                if not scenario.early and hasattr(ws, "answer"):
                    await ws.answer()
                for step in scenario.steps:
                    await take(step, ws, scenario, heard)
                while not any(isinstance(step, (Leave, Vanish)) for step in (*scenario.early, *scenario.steps)):
                    heard.append(brief(await ws.hear(kind_of(scenario.client_gets))))
    except Exception as error:
        return ", ".join(dict.fromkeys(client.describe(one) for one in flat(error)))
    return "nothing"


async def take(step: Any, ws: Any, scenario: Scenario, heard: list[str]) -> None:
    if isinstance(step, Say):
        await ws.say(step.text)
    elif isinstance(step, Hear):
        heard.append(brief(await ws.hear(str)))
    elif isinstance(step, Pause):
        await asyncio.sleep(step.seconds)
    elif isinstance(step, Until):
        await comes(lambda: over(scenario.name) or noted(scenario.name, step.note))
        if scenario.name in WITHOUT_READING:
            ws.resume_reading()
    else:
        await ws.leave(1006 if isinstance(step, Vanish) else step.code)


def brief(message: str | bytes) -> str:
    """Return the message, as far as it tells one from the others."""
    return repr(message[:20])


def kind_of(outcome: Outcome) -> type:
    """Return the type of the messages, which most clients want to know beforehand."""
    if isinstance(outcome, OneOf):
        return kind_of(outcome.outcomes[0])
    return type(outcome.messages[0]) if isinstance(outcome, Closed) and outcome.messages else str


def flat(error: BaseException) -> Iterator[BaseException]:
    group = getattr(error, "exceptions", None)
    if group is None:
        yield error
    else:
        for one in group:
            yield from flat(one)


def called(number: str) -> Visit | None:
    return probe._visits.get(number)


def noted(number: str, text: str) -> bool:
    visit = called(number)
    return visit is not None and text in visit.notes


def over(number: str) -> bool:
    visit = called(number)
    return visit is not None and visit.over.is_set()


async def comes(done: Any) -> bool:
    deadline = time.monotonic() + 10.0
    while not done() and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    return bool(done())


async def main(name: str, kind: str, *names: str) -> None:
    client = importlib.import_module(f"with_{name}")
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(200))
    logging.getLogger("asgi_wsguard").addHandler(Releases())
    places = asyncio.Semaphore(AT_ONCE)

    async def in_turn(scenario: Scenario) -> None:
        async with places:
            print(json.dumps(await play(client, kind, scenario)), flush=True)

    await asyncio.gather(*(in_turn(scenario) for scenario in SCENARIOS if scenario.name in names or not names))
    os._exit(0)  # whatever hangs


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
