"""O8, O12: whose turn it is to receive. The rules alone, with no event loop: a table, and every history."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, precondition, rule

from asgi_wsguard.rules.turns import GUARD, MAX_DISCONNECTS, Gate, Source, Turns

CALLER = object()


def turns(buffer: bool = False, gate: Gate = Gate.OPEN, turn: Any = None) -> Turns:
    made = Turns(ahead_only=False)
    made.buffer, made.gate, made.turn = ("kept",) * buffer, gate, turn
    return made


# The table at the top of the module: buffer, gate, turn, source.
TABLE = [
    *((True, gate, turn, Source.BUFFER) for gate in Gate for turn in (None, CALLER, GUARD)),
    *((False, Gate.ENDED, turn, Source.DISCONNECT) for turn in (None, CALLER, GUARD)),
    *((False, gate, None, Source.SERVER) for gate in (Gate.OPEN, Gate.PAUSED)),
    *((False, gate, turn, Source.LATER) for gate in (Gate.OPEN, Gate.PAUSED) for turn in (CALLER, GUARD)),
]


@pytest.mark.parametrize(("buffer", "gate", "turn", "source"), TABLE)
def test_o8_where_the_next_message_comes_from(buffer: bool, gate: Gate, turn: Any, source: Source) -> None:
    assert turns(buffer, gate, turn).source is source


def test_the_table_is_whole() -> None:
    rows = [row[:3] for row in TABLE]
    assert len(rows) == len(set(rows))
    assert set(rows) == set(itertools.product((False, True), Gate, (None, CALLER, GUARD)))


def test_o8_a_caller_is_interrupted_once() -> None:
    """A second cancellation would be counted by its task, and stay."""
    state = turns(turn=CALLER)
    assert state.pause() is CALLER
    assert state.pause() is None
    assert state.end() is None
    state.release()
    assert state.source is Source.DISCONNECT


def test_a_pause_that_is_over_lets_the_app_receive() -> None:
    state = turns()
    assert state.pause() is None
    assert state.source is Source.LATER
    state.resume()
    assert state.source is Source.SERVER


def test_a_pause_does_not_end_what_has_ended() -> None:
    state = turns()
    state.end()
    state.pause()
    state.resume()
    assert (state.gate, state.source) == (Gate.ENDED, Source.DISCONNECT)


def test_with_ahead_only_the_app_takes_the_connect_and_nothing_else() -> None:
    state = Turns(ahead_only=True)
    assert state.source is Source.SERVER
    state.connected()
    assert state.source is Source.LATER
    assert state.must_fetch
    state.fetch()
    assert not state.must_fetch
    state.keep("message")
    state.fetched()
    assert state.pop() == "message"
    assert state.source is Source.LATER


class Task:
    """Something that can be referred to weakly."""


def test_o8_each_task_is_told_once() -> None:
    state, tasks = Turns(ahead_only=False), [Task() for _ in range(3)]
    assert [state.may_tell(task) for task in tasks] == [True, True, True]
    assert [state.may_tell(task) for task in tasks] == [False, False, False]
    assert state.may_tell(tasks[0], waited=True)
    assert state.may_tell(tasks[1], waited=True)


def test_o8_100_times_in_all() -> None:
    state, tasks = Turns(ahead_only=False), [Task() for _ in range(MAX_DISCONNECTS)]
    for task in tasks:
        assert state.may_tell(task)
        state.told()
    assert not state.may_tell(Task())
    assert not state.may_tell(tasks[0], waited=True)


def test_e7_a_task_that_was_told_is_not_kept() -> None:
    import gc
    import weakref

    state, tasks = Turns(ahead_only=False), [Task(), Task()]
    assert all(map(state.may_tell, tasks))
    seen = [weakref.ref(task) for task in tasks]
    tasks.clear()
    gc.collect()
    assert [one() for one in seen] == [None, None]


class History(RuleBasedStateMachine):
    """An app with several tasks, and a guard, in any order of steps that `connection/inbox.py` can take.

    Beside it stands the simplest model: who is in the server's `receive()`, and what was received but not delivered.
    """

    callers = Bundle("callers")

    @initialize(ahead_only=st.booleans())
    def begin(self, ahead_only: bool) -> None:
        self.turns = Turns(ahead_only)
        self.inside: list[Any] = []  # who is in the server's receive()
        self.interrupted: list[Any] = []
        self.received: list[int] = []
        self.delivered: list[int] = []
        self.number = itertools.count()
        self.connected = self.ended = False

    # The app

    @rule(target=callers)
    def app_receives(self) -> Any:
        """By the short cut, or in its turn."""
        source, caller = self.turns.source, Task()
        if source is Source.SERVER:
            self.turns.turn = caller
            self.inside.append(caller)
            return caller
        if source is Source.BUFFER:
            self.delivered.append(self.turns.pop())
            if self.delivered == [0]:
                self.turns.connected()
            self.turns.delivered()
        return None

    @rule(caller=consumes(callers))
    def app_gets(self, caller: Any) -> None:
        """What the server gives it."""
        if caller not in self.inside or caller in self.interrupted:
            return
        self.inside.remove(caller)
        self.turns.turn = None
        message = next(self.number)
        self.received.append(message)
        self.delivered.append(message)
        if not self.connected:
            self.connected = True
            self.turns.connected()
        self.turns.delivered()

    @rule(caller=consumes(callers))
    def app_comes_out(self, caller: Any) -> None:
        """Because it was cancelled, or interrupted."""
        if caller in self.inside:
            self.inside.remove(caller)
            self.turns.release()

    # The guard. Its conditions have names, because hypothesis 6.100 parses the source of a lambda at each step.

    def nobody_receives(self) -> bool:
        return self.turns.may_fetch and not self.inside and not self.ended

    def guard_receives(self) -> bool:
        return GUARD in self.inside

    def some_were_received(self) -> bool:  # or most histories would be short
        return len(self.received) > 2

    @precondition(nobody_receives)
    @rule()
    def guard_fetches(self) -> None:
        self.turns.fetch()
        self.inside.append(GUARD)

    @precondition(guard_receives)
    @rule(message=st.sampled_from(["data", "disconnect", "cancelled"]))
    def guard_has_fetched(self, message: str) -> None:
        if message == "data" and not self.connected:  # that is the connect, and the guard stays for a message
            self.connected = True
            self.received.append(next(self.number))
            self.turns.keep(self.received[-1])
            return
        self.inside.remove(GUARD)
        if message == "data":
            self.received.append(next(self.number))
            self.turns.keep(self.received[-1])
        elif message == "disconnect":
            self.ended = True
            self.turns.disconnected()
        self.turns.fetched()

    @rule()
    def guard_pauses(self) -> None:
        self._interrupt(self.turns.pause())

    @rule()
    def guard_resumes(self) -> None:
        self.turns.resume()

    @precondition(some_were_received)
    @rule()
    def guard_ends(self) -> None:
        self.ended = True
        self._interrupt(self.turns.end())

    def _interrupt(self, caller: Any) -> None:
        if caller is not None:
            assert caller in self.inside
            assert caller not in self.interrupted
            self.interrupted.append(caller)

    # What always holds

    @invariant()
    def nobody_else_is_in_there(self) -> None:
        assert len(self.inside) <= 1

    @invariant()
    def nothing_is_lost_and_the_order_stays(self) -> None:
        assert [*self.delivered, *self.turns.buffer] == self.received

    @invariant()
    def the_turn_is_free_only_where_anybody_may_go(self) -> None:
        if self.turns.turn is None:
            assert self.turns.gate is Gate.OPEN
            assert not self.turns.buffer
            assert self.inside == []

    @invariant()
    def an_end_is_for_good(self) -> None:
        assert (self.turns.gate is Gate.ENDED) == self.ended

    @invariant()
    def the_app_never_waits_for_nothing(self) -> None:
        """An app that is told to wait is woken: somebody is in there, the gate opens again, or the guard has to go."""
        if self.turns.source is Source.LATER and self.turns.gate is Gate.OPEN:
            assert self.inside or self.turns.must_fetch


TestHistory = History.TestCase
TestHistory.settings = settings(TestHistory.settings, max_examples=settings.default.max_examples // 2)
