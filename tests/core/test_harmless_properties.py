"""Random working apps, bare and guarded, in virtual time: what they see and do is the same ("First, do no harm")."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from asgi_wsguard import WebSocketGuardMiddleware
from harness.clock import in_virtual_time
from harness.legal import KINDS, PLANS, Plan, Run, Server
from harness.strategies import leaves

pytestmark = pytest.mark.usefixtures("quiet")


@given(plan=PLANS, kind=st.sampled_from(sorted(KINDS)))
@in_virtual_time
async def test_a_working_app_does_the_same_behind_the_guard(plan: Plan, kind: str) -> None:
    bare = Run(plan, Server(KINDS[kind], plan, bare=True))
    await bare.go(lambda app: app)
    guarded = Run(plan, Server(KINDS[kind], plan, bare=False))
    await guarded.go(WebSocketGuardMiddleware)
    assert guarded.journal == bare.journal
    assert guarded.server.violations == []
    check_client(bare, guarded)
    check_error(bare, guarded)


def check_client(bare: Run, guarded: Run) -> None:
    """It gets what it got bare, and an end where it got none."""
    before, after = bare.server.client, guarded.server.client
    assert after.messages == before.messages
    assert (after.accepted, after.subprotocol, after.headers) == (before.accepted, before.subprotocol, before.headers)
    if before.ended:
        assert (after.close_code, after.close_reason) == (before.close_code, before.close_reason)
        assert after.denial == before.denial
    elif after.close_code is not None:
        # O1, O2, O3
        assert after.close_code == (1000 if bare.error is None else 1011 if isinstance(bare.error, Exception) else 1012)


def check_error(bare: Run, guarded: Run) -> None:
    """The server gets what it got bare, but for what is no error."""
    if bare.error is not None and all(isinstance(leaf, OSError) for leaf in leaves(bare.error)):
        assert guarded.error is None  # E2
    elif guarded.plan.stop is not None and type(guarded.error) is not type(bare.error):
        # The cancellation of an app in a shield reaches the server after the app has ended (E4). And where the server
        # refuses the guard's close, the refusal takes its place (O11).
        refused = guarded.server.kind.refuses and isinstance(guarded.error, ValueError)
        assert refused or not isinstance(guarded.error, Exception)
    else:
        assert type(guarded.error) is type(bare.error)
