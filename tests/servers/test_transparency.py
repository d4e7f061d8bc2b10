"""Other projects' own websocket tests, with every app in them behind the guard.

What passes bare must pass guarded, but for the tests that assert what the contract changes (`transparency/suites.py`).
So what passes guarded need not run bare, unless it is listed there.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest
from transparency.runner import Result, prepare, run
from transparency.suites import SUITES, Suite

Results = dict[str, Result]


def listed_in(names: Mapping[str, str], test: str) -> str | None:
    return names.get(test) or names.get(test.partition("[")[0])


def differences(bare: Results, guarded: Results, suite: Suite) -> list[str]:
    """Say what the guard changed that it may not change, and what it should have changed and did not."""
    passed = {test for test, result in bare.items() if result.passed}
    found = [f"{test}: was not run guarded" for test in sorted(passed - guarded.keys())]
    for test in sorted(passed & guarded.keys()):
        change = listed_in(suite.changed, test)
        if guarded[test].passed and change:
            found.append(f"{test}: passes guarded, though it is listed as changed ({change})")
        elif not guarded[test].passed and not change and not listed_in(suite.varies, test):
            found.append(f"{test}: passes bare, fails guarded: {guarded[test].message}")
    known = passed | {test.partition("[")[0] for test in passed}
    listed = [*suite.changed, *suite.varies]
    found += [f"{test}: listed as changed, but no such test passes bare" for test in listed if test not in known]
    through = sum(result.passed and result.websockets > 0 for result in guarded.values())
    if through < suite.at_least:
        found.append(f"{through} tests passed with a websocket through the guard, fewer than {suite.at_least}")
    return found


def settled(guarded: Results, suite: Suite) -> list[Result]:
    """Return the results that `differences` does not compare with those of the bare app."""
    listed = {**suite.changed, **suite.varies}
    return [result for test, result in guarded.items() if result.passed and not listed_in(listed, test)]


@pytest.fixture(scope="module")
def runs(request):
    """Start the two runs of each suite that was asked for, all at the same time, the longest first."""
    chosen = [item.callspec.params["suite"] for item in request.session.items if "runs" in item.fixturenames]
    with ThreadPoolExecutor(len(chosen)) as makers, ThreadPoolExecutor(2) as runners:
        homes = {suite.project: makers.submit(prepare, suite) for suite in chosen}

        def both(suite: Suite) -> tuple[Results, Results]:
            home = homes[suite.project].result()
            guarded = run(suite, home, guarded=True)
            return run(suite, home, guarded=False, leave_out=settled(guarded, suite)), guarded

        yield {suite.project: runners.submit(both, suite) for suite in chosen}


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite.project)
def test_what_passes_bare_passes_guarded(suite, runs):
    bare, guarded = runs[suite.project].result()
    found = differences(bare, guarded, suite)
    if found:
        pytest.fail("\n".join(found), pytrace=False)


PASSED, FAILED = Result(True, 1, ""), Result(False, 1, "why")


@pytest.mark.parametrize(
    ("bare", "guarded", "changed", "found"),
    [
        ({"t": PASSED}, {"t": PASSED}, {}, []),
        ({"t": FAILED}, {"t": FAILED}, {}, []),
        ({"t": PASSED}, {"t": FAILED}, {"t": "O1"}, []),
        ({"t[1]": PASSED, "t[2]": PASSED}, {"t[1]": FAILED, "t[2]": FAILED}, {"t": "O1"}, []),
        ({"t": PASSED}, {"t": FAILED}, {}, ["t: passes bare, fails guarded: why"]),
        ({"t": PASSED}, {}, {}, ["t: was not run guarded"]),
        ({"t": PASSED}, {"t": PASSED}, {"t": "O1"}, ["t: passes guarded, though it is listed as changed (O1)"]),
        ({}, {}, {"t": "O1"}, ["t: listed as changed, but no such test passes bare"]),
    ],
)
def test_the_comparison_sees_a_difference(bare, guarded, changed, found):
    suite = Suite("p", "1", "", (), opens="", at_least=1, changed=changed)
    assert differences({"ok": PASSED, **bare}, {"ok": PASSED, **guarded}, suite) == found


@pytest.mark.parametrize("guarded", [PASSED, FAILED])
def test_what_varies_may_pass_and_may_fail(guarded):
    suite = Suite("p", "1", "", (), opens="", at_least=0, varies={"t": "O8"})
    assert differences({"t": PASSED}, {"t": guarded}, suite) == []
    assert differences({"t[1]": PASSED}, {"t[1]": guarded}, suite) == []
    assert differences({}, {}, suite) == ["t: listed as changed, but no such test passes bare"]


def test_the_comparison_sees_a_plugin_without_effect():
    suite = Suite("p", "1", "", (), opens="", at_least=1)
    results = {"t": Result(True, 0, "")}
    assert differences(results, results, suite) == ["0 tests passed with a websocket through the guard, fewer than 1"]
