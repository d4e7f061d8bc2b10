"""A rolling restart behind nginx: clients that come again lose nothing, and do not come as a herd."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from drain_app import NOTES
from rolling import Visitor, nginx

from asgi_wsguard.probe.judge import COARSE
from asgi_wsguard.probe.servers import SERVERS, free_port, running

if TYPE_CHECKING:
    from pathlib import Path

VISITORS = 200
GRACE, SPREAD = 0.5, 2.0
# A busy machine may hold all up, and let them come at once. A drain that makes a herd makes one each time.
ATTEMPTS = 4


def test_a_rolling_restart(tmp_path: Path) -> None:
    asyncio.run(asyncio.wait_for(_rolling_restart(tmp_path), 60))


async def _rolling_restart(folder: Path) -> None:
    notes = folder / "notes"
    notes.mkdir()
    env = {NOTES: str(notes), "PYTHONPATH": str(__file__).rpartition("/")[0], "DRAIN_GRACE": str(GRACE)}
    start = partial(running, SERVERS[0], app="drain_app:app", env={**env, "DRAIN_SPREAD": str(SPREAD)})
    ports = (free_port(), free_port())
    front = free_port()
    visitors = [Visitor(number) for number in range(VISITORS)]
    over = asyncio.Event()
    with contextlib.ExitStack() as instances:
        processes = [instances.enter_context(start(port=port)) for port in ports]
        instances.enter_context(nginx(front, ports, folder))
        async with asyncio.TaskGroup() as group:
            for visitor in visitors:
                group.create_task(visitor.visit(f"ws://127.0.0.1:{front}/stored", over))
            await _all_go_on(visitors)
            herds = set(ports)
            for turn in range(ATTEMPTS * len(ports)):
                old = processes[turn % len(ports)]  # most visitors are at the one that has not been stopped
                signalled = time.monotonic()
                old.process.terminate()
                await asyncio.to_thread(old.process.wait, 20)
                returned = [when - signalled for visitor in visitors for when in visitor.returned]
                processes[turn % len(ports)] = await asyncio.to_thread(instances.enter_context, start(port=old.port))
                if not _are_herd([after for after in returned if after > 0]):
                    herds.discard(old.port)
                if not herds:
                    break
            assert not herds
            await _all_go_on(visitors)
            over.set()
    assert {code for visitor in visitors for code in visitor.codes} == {1012}
    stored = {line.split()[0] for file in notes.iterdir() for line in file.read_text().splitlines()}
    for visitor in visitors:
        assert visitor.acknowledged == [f"{visitor.number}-{number}" for number in range(len(visitor.acknowledged))]
        assert stored.issuperset(visitor.acknowledged)


async def _all_go_on(visitors: list[Visitor]) -> None:
    before = [len(visitor.acknowledged) for visitor in visitors]
    while not all(len(visitor.acknowledged) > count for visitor, count in zip(visitors, before)):
        await asyncio.sleep(0.02)


def _are_herd(returned: list[float]) -> bool:
    """Return whether they come in a part of the spread. None comes before the grace is over."""
    assert len(returned) >= VISITORS // 4
    assert min(returned) >= GRACE - COARSE
    quarters = Counter(int((after - GRACE) / SPREAD * 4) for after in returned)
    return max(quarters.values()) > len(returned) / 2
