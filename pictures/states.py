"""Draws the states of a connection, and every way from one to another.

The ways are found by trying: a `Lifecycle` in each state is given each message, a server that refuses one, and a client
that leaves. So the picture cannot say anything but what the code does. Only the places of the boxes are said here.
"""

from __future__ import annotations

from asgi_wsguard.exceptions import ProtocolViolation
from asgi_wsguard.rules import messages
from asgi_wsguard.rules.denial import DenialResponse
from asgi_wsguard.rules.lifecycle import Lifecycle, Policy
from asgi_wsguard.rules.states import OVER, UNANSWERED, State
from pictures.drawing import Arrow, Box, Point, Region, between, figure

LEAVES = "the client leaves"
FAILS = "body fails"
BEGUN = frozenset(State) - UNANSWERED - OVER

TITLE = "The states of a connection, and what leads from one to the next"
CAPTION = (
    "What leads from one state to the next: the messages that the app sends, and the client that leaves. ↻ marks what "
    "changes nothing, a double border where it is over, and * a server that cannot send a denial response (H9). When "
    "the app ends, or a limit is reached, the tables at the end of this page say what follows."
)

# What can happen, by the words beside the arrows.
MESSAGES = {
    "accept": {"type": messages.ACCEPT},
    "send": {"type": messages.SEND, "text": ""},
    "close": {"type": messages.CLOSE},
    "response start": {"type": messages.START, "status": 401, "headers": []},
    "body": {"type": messages.BODY, "body": b"", "more_body": True},
    "last body": {"type": messages.BODY, "body": b"", "more_body": False},
}

Way = tuple[State, State]

PLACES: dict[State, Point] = {
    State.CONNECTING: (150, 85),
    State.HELD: (150, 180),
    State.DISCARDING: (126, 312),
    State.STARTED: (270, 312),
    State.DENYING: (270, 400),
    State.OPEN: (400, 312),
    State.LEFT: (408, 85),
    State.DENIED: (110, 510),
    State.GONE: (280, 510),
    State.CLOSED: (400, 510),
}

# Where the words stand, unless in the middle of the arrow, and the points of the arrows that are not straight.
LABELS: dict[Way, Point] = {
    (State.CONNECTING, State.DENIED): (22, 150),
    (State.HELD, State.DENIED): (46, 240),
    (State.HELD, State.DISCARDING): (130, 240),
    (State.HELD, State.STARTED): (240, 242),
    (State.HELD, State.DENYING): (184, 250),
    (State.STARTED, State.DENYING): (288, 352),
    (State.STARTED, State.DENIED): (199, 380),
    (State.DISCARDING, State.DENIED): (112, 400),
    (State.DENYING, State.DENIED): (196, 454),
    (State.OPEN, State.CLOSED): (400, 454),
}
CURVES: dict[Way, list[Point]] = {
    (State.CONNECTING, State.DENIED): [(102, 85), (-8, 100), (-8, 480), (76, 505)],
    (State.HELD, State.DENIED): [(124, 182), (40, 200), (36, 420), (90, 493)],
}

# The client can leave from any of the boxes in a frame: one arrow for all of them.
FRAMES = (
    (Region(66, 42, 262, 212, "no answer yet", 210), UNANSWERED, Arrow([(262, 85), (382, 85)], LEAVES)),
    (Region(66, 262, 454, 434, "answer begun", 322), BEGUN, Arrow([(280, 434), (280, 493)], LEAVES, (310, 462))),
)


def ways() -> dict[Way, list[str]]:
    """Return what leads from each state that is not over to the next; `*` where the server cannot send a response."""
    found: dict[Way, list[str]] = {}
    known: set[State] = set()  # with a server that can
    for can_deny in (True, False):
        paths: dict[State, tuple[str, ...]] = {State.CONNECTING: ()}
        for state in State:  # its members are in the order of a life: each is found before it is left
            if state in OVER or state not in paths:
                continue
            for event in (*MESSAGES, *([FAILS] if can_deny else []), LEAVES):
                try:
                    then = _after(can_deny, (*paths[state], event))
                except ProtocolViolation:
                    continue
                paths.setdefault(then, (*paths[state], event))
                if can_deny:
                    known.add(state)
                    found.setdefault((state, then), []).append(event)
                elif (state, then) not in found:
                    found[state, then] = [f"{event}*" if state in known else event]
    return found


def _after(can_deny: bool, events: tuple[str, ...]) -> State:
    lifecycle = Lifecycle((), can_deny=can_deny, policy=Policy(DenialResponse()))
    for event in events:
        before = lifecycle.state
        if event == LEAVES:
            lifecycle.left()
        elif event == FAILS:
            lifecycle.sending(MESSAGES["body"])
            # What was held before the body has reached the server.
            lifecycle.failed(before, lifecycle.state, 1 if before is State.HELD else 0, refused=True)
        else:
            lifecycle.sending(MESSAGES[event])
    return lifecycle.state


def picture() -> str:
    """Draw it."""
    found = ways()
    # What changes nothing stands inside the box. A body that fails, and so changes nothing, is no way at all.
    own = {state: events[0] for (state, then), events in found.items() if state is then and events != [FAILS]}
    boxes = {
        state: Box(x, y, state.value, [f"↻ {own[state]}"] if state in own else [], last=state in OVER)
        for state, (x, y) in PLACES.items()
    }
    parts: list[Region | Arrow] = [Arrow([(150, 14), (150, 66)])]
    for frame, inside, arrow in FRAMES:
        assert {(state, then) for (state, then), events in found.items() if events == [LEAVES] and state in inside}
        parts += [frame, arrow]
    for (state, then), events in found.items():
        if state is not then and events != [LEAVES]:
            label, at = " or ".join(events), LABELS.get((state, then))
            curve = CURVES.get((state, then))
            parts.append(Arrow(curve, label, at) if curve else between(boxes[state], boxes[then], label, at))
    return figure(460, 535, TITLE, CAPTION, [*parts, *boxes.values()])
