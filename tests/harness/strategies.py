"""What random apps send, and the servers they run on."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import hypothesis.strategies as st

from harness.messages import MORE_MESSAGES

if sys.version_info < (3, 11):
    from exceptiongroup import BaseExceptionGroup


# What one task of an app does, step by step. A coroutine is made by "make" and awaited by "await", maybe much later.
LIKELY = ["accept", "text", "close", "start", "body", "last body"]
NAMES = st.sampled_from(LIKELY) | st.sampled_from(sorted(MORE_MESSAGES))

SERVERS = st.fixed_dictionaries(
    {
        "denial_extension": st.booleans(),
        "refused_codes": st.sampled_from([(), range(1001, 3000)]),
        "raise_when_gone": st.booleans(),
        "repeat_disconnect": st.booleans(),
        "send_checkpoints": st.integers(0, 3),
    }
)


def leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from leaves(inner)
    else:
        yield exc
