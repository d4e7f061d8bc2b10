"""With the guard no test client hangs, and each tells the author of a test what the docs say."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import seen

from asgi_wsguard.probe.model import Closed, Denied, Leave, Scenario, Vanish
from asgi_wsguard.probe.scenarios import SCENARIOS

EXPECTED = json.loads(seen.FILE.read_text(encoding="utf-8"))
# They tell the status of a denial, and the code of a close. The others have no denial extension, or tell no code.
TELL_STATUS = {"starlette", "asgiref", "quart", "session"}
TELL_CODE = {"starlette", "litestar", "httpx_ws", "asgiref", "falcon", "session"}

Played = dict[tuple[str, str], "Future[seen.Results]"]

clients = pytest.mark.parametrize("client", seen.CLIENTS)
scenarios = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@pytest.fixture(scope="session")
def played() -> Iterator[Played]:
    with ThreadPoolExecutor(len(seen.CLIENTS)) as pool:
        yield seen.start(pool)


@clients
@scenarios
def test_guarded(client: str, scenario: Scenario, played: Played) -> None:
    result = played[client, "guarded"].result().get(scenario.name, {"told": "hangs"})
    told = seen.told(result)
    assert told not in ("hangs", "TimeoutError")
    expected = EXPECTED["guarded"][scenario.name][client]
    assert expected in (told, "either")
    if "cannot" in result:
        return
    assert result["ended"]
    if not scenario.raises and isinstance(scenario.client_gets, Closed) and scenario.client_gets.messages is not None:
        assert result["heard"] == [repr(message) for message in scenario.client_gets.messages]


@clients
@pytest.mark.parametrize("name", seen.BARE)
def test_bare(client: str, name: str, played: Played) -> None:
    assert seen.told(played[client, "bare"].result()[name]) == EXPECTED["bare"][name][client]


def leaves(scenario: Scenario) -> bool:
    return any(isinstance(step, (Leave, Vanish)) for step in (*scenario.early, *scenario.steps))


# Where the client stays to the end, and the app raises nothing, which most clients would raise instead.
STAYS = [scenario for scenario in SCENARIOS if scenario.raises == "" and not leaves(scenario)]
DENIED = [one for one in STAYS if isinstance(one.client_gets, Denied) and one.client_gets.status != 403]
CLOSED = [one for one in STAYS if isinstance(one.client_gets, Closed)]


@pytest.mark.parametrize("scenario", DENIED, ids=lambda scenario: scenario.name)
def test_status_is_the_contracts(scenario: Scenario) -> None:
    for client in TELL_STATUS:
        assert EXPECTED["guarded"][scenario.name][client].endswith(f" {scenario.client_gets.status}"), client


@pytest.mark.parametrize("scenario", CLOSED, ids=lambda scenario: scenario.name)
def test_code_is_the_contracts(scenario: Scenario) -> None:
    for client in TELL_CODE:
        told = EXPECTED["guarded"][scenario.name][client]
        # httpx-ws 0.9 wants a reason in every close, bare as well.
        assert told.endswith(f" {scenario.client_gets.code}") or told in ("cannot stop reading", "KeyError"), client


@clients
def test_versions_are_those_of_the_docs(client: str) -> None:
    package, installed = seen.version(client).split()
    assert package == "asgi-wsguard" or EXPECTED["versions"][client] == f"{package} {installed}"


def test_docs_show_all() -> None:
    docs = seen.HERE.parents[1] / "docs"
    page = runpy.run_path(str(docs / "tables.py"))["on_page_markdown"]((docs / "test-clients.md").read_text("utf-8"))
    assert "<!--" not in page
    for scenario in SCENARIOS:
        assert scenario.title in page


def test_bare_most_clients_hang() -> None:
    hanging = {client for told in EXPECTED["bare"].values() for client in told if told[client] == "hangs"}
    assert hanging >= {"starlette", "litestar"}
