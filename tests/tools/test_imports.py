"""What is loaded, and when: an import is paid for by everybody, also where nothing of it is used."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import asgi_wsguard
from asgi_wsguard import testing

# What takes long to load, and is not needed to guard an app: what the servers themselves load does not count.
HEAVY = {
    "click",
    "h11",
    "h2",
    "opentelemetry",
    "prometheus_client",
    "pytest",
    "rich",
    "starlette",
    "trio",
    "wsproto",
} | {
    *("anyio._backends", "asgiref", "asyncio", "concurrent", "http.client", "importlib.metadata", "multiprocessing"),
    *("socket", "ssl", "subprocess", "tempfile", "urllib"),
}
PLUGIN = "asgi_wsguard.testing.pytest_plugin"
PARENTS = {"asgi_wsguard", "asgi_wsguard.lazy", "asgi_wsguard.testing"}


def loaded(code: str, before: str = "pass") -> set[str]:
    """Return the modules that the code loads in a new interpreter."""
    show = f"import json, sys; {before}; old = set(sys.modules); {code}; print(json.dumps([*set(sys.modules) - old]))"
    shown = subprocess.run([sys.executable, "-c", show], check=True, stdout=subprocess.PIPE, text=True).stdout
    return {*json.loads(shown.splitlines()[-1])}


def of_ours(modules: set[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "asgi_wsguard"}


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if any(f"{name}.".startswith(f"{one}.") for one in HEAVY)}


def test_the_package_loads_nothing() -> None:
    assert loaded("import asgi_wsguard") & {"dataclasses", "enum", "inspect", "logging", "re"} == set()
    assert of_ours(loaded("import asgi_wsguard")) == {"asgi_wsguard", "asgi_wsguard.lazy"}


def test_the_middleware_loads_nothing_heavy() -> None:
    modules = loaded("from asgi_wsguard import ClientDisconnected, DenialResponse, WebSocketGuardMiddleware")
    assert heavy(modules) == set()
    assert "asgi_wsguard.connection" not in modules


def test_a_guard_loads_what_it_uses() -> None:
    """All that serves a websocket is there before the first one, on asyncio."""
    modules = loaded(
        "from asgi_wsguard import WebSocketGuardMiddleware as Guard; Guard(print)", "import asyncio, anyio"
    )
    assert {"asgi_wsguard.connection.guard", "asgi_wsguard.runtime.on_asyncio"} <= modules
    assert {"asgi_wsguard.drain", "asgi_wsguard.contract"} & modules == set()


def test_the_plugin_loads_nothing_but_itself() -> None:
    assert of_ours(loaded(f"import {PLUGIN}", "import pytest")) == {PLUGIN, *PARENTS}


@pytest.mark.parametrize(("mark", "used"), [("", False), ("@pytest.mark.asgi_wsguard", True)])
def test_a_run_of_pytest_loads_no_more(pytester: pytest.Pytester, mark: str, used: bool) -> None:
    pytester.makepyfile(
        f"""
        import sys
        import pytest

        {mark}
        def test_nothing():
            ours = {{name for name in sys.modules if name.startswith("asgi_wsguard")}}
            assert (ours - {PARENTS | {PLUGIN}} != set()) is {used}
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.mark.parametrize("package", [asgi_wsguard, testing])
def test_each_public_name_is_there(package: object) -> None:
    names = package.__all__  # type: ignore[attr-defined]
    assert set(names) <= {*dir(package)}
    for name in names:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        getattr(package, "Nothing")  # noqa: B009
