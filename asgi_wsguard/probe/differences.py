"""Differences between servers that no guard can change: what to expect of a scenario instead, by its name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asgi_wsguard.probe.model import Closed, Denied, Gone, OneOf, Until, Vanish

Differences = Mapping[str, Mapping[str, Any]]

REFUSED = "invalid close code"
"""A part of the text of daphne's exception for a close code."""


NEVER_STUCK: Mapping[str, Any] = {
    "client_gets": OneOf((Closed(1000, messages=None), Closed(1006, messages=None))),
    "app_sees": (),
    "logs": "DEBUG O1",
    "client_waits": 0.0,
    "steps": (),
}
"""For a server that takes all that the app sends, and buffers what the client does not read."""

CUT_SHORT: Differences = {"closes-and-left": {"client_gets": OneOf((Closed(4001), Closed(1000), Closed(1006)))}}
"""For a server that takes the client's close as the answer to its own, and cuts the connection before it sends that."""

UVICORN_WEBSOCKETS: Differences = {
    # It answers as soon as the denial begins, with as much of the body as there is.
    "raises-inside-body": {"client_gets": Denied(401, body=b"half")},
    # It refuses a message while another one is stuck.
    "returns-in-vain": {"logs": "ERROR O1", "raises": "AssertionError"},
}

HYPERCORN_HTTP2: Differences = {
    # It forgets the stream after its own close frame, and fails on the client's, which cancels the app.
    "waits-until-left": {"logs": "DEBUG O3", "app_stays": 0.0},
    "ignores-everything": {"logs": "DEBUG O3", "app_stays": 0.0},
    "pushes-until-left": {"logs": None, "app_stays": 0.0},
    "cleans-up": {"logs": None, "app_sees": None, "app_stays": 0.0},
    "lives-on": {"logs": None},
    "stays-after-close": {"logs": None, "app_sees": None, "app_stays": 0.0},
    "loops-after-leaving": {"logs": None, "app_sees": None, "app_stays": 0.0},
    "loops-after-close": {"logs": None, "app_sees": None, "app_stays": 0.0},
    # It lets no app wait for a client that does not read.
    "sends-in-vain": NEVER_STUCK,
}

# It sends 1000 and 3000-4999 only, but 1011 when the app has crashed (O11).
DAPHNE: Differences = {
    "accepts-and-is-cancelled": {"client_gets": Closed(1011), "logs": "ERROR O3", "raises": REFUSED},
    "closes-1006": {"logs": "ERROR O11", "raises": REFUSED},
    "closes-1015": {"logs": "ERROR O11", "raises": REFUSED},
    "idles": {"client_gets": Closed(1011), "app_sees": (), "logs": "ERROR O13", "raises": REFUSED},
    **CUT_SHORT,
    # Either the app is cancelled, or a send of its own fails first.
    "lives-on": {"client_gets": Closed(1011, messages=None), "logs": "ERROR O14", "raises": None},
    "lives-and-left": {"client_gets": OneOf((Closed(1000), Closed(1011)))},
    "sends-in-vain": NEVER_STUCK,
    "returns-in-vain": {"logs": "DEBUG O1"},
}

GRANIAN: Differences = {
    # It takes the body of a denial in one piece only: the app sees its error, and the client the status (H7).
    **{
        name: {"client_gets": Denied(401, body=b""), "logs": "ERROR H7", "raises": "RuntimeError"}
        for name in ("denies", "returns-inside-body", "raises-inside-body")
    },
    # Before the handshake is answered, it does not tell the app that the client has left. It refuses the answer then.
    **{
        name: {"app_sees": ("waiting",), "logs": "ERROR H4", "raises": "RuntimeError"}
        for name in ("accepts-too-late", "accepts-after-reset", "denies-too-late")
    },
    "never-decides": {"logs": "ERROR H4", "raises": "RuntimeError"},
}

CANCELLED: Mapping[str, Any] = {"app_sees": None, "logs": None, "raises": None, "app_stays": 0.0}

OUTLIVES: Mapping[str, Any] = {"outlives": True}

AFTER_A_CLOSE = (
    "cleans-up",
    "closes-after-leaving",
    "ends-by-leaving",
    "ignores-everything",
    "loops-after-close",
    "loops-after-leaving",
    "pushes-until-left",
    "raises-after-leaving",
    "receives-in-bits",
    "sends-after-close",
    "sends-after-leaving",
    "stays-after-close",
    "waits-until-left",
)
"""Over HTTP/3 hypercorn forgets a stream with the client's close frame, and when its app has ended.

Whatever the client then sends on the stream, even if only its end, raises a `KeyError` that ends the task that serves
QUIC. All of its apps are cancelled, and no client is answered any more.
"""

UNSEEN = (
    "closes-after-vanishing",
    "ends-by-vanishing",
    "pushes-until-hung-up",
    "pushes-until-reset",
    "sends-after-vanishing",
    "waits-until-hung-up",
    "waits-until-reset",
)
"""Over HTTP/3 hypercorn does not tell an app that its client left without a close frame. It stays, guarded or not."""

HYPERCORN_HTTP3: Differences = {
    **dict.fromkeys(AFTER_A_CLOSE, CANCELLED),
    **dict.fromkeys(UNSEEN, OUTLIVES),
    **{
        name: {"app_sees": ("waiting",), "logs": "ERROR H4"}
        for name in ("accepts-after-reset", "accepts-too-late", "denies-too-late")
    },
    "never-decides": {"logs": "ERROR H4"},
    "has-company": OUTLIVES,  # the other client's app does
    # It never ends the stream of an app that crashed.
    "raises-inside-body": {"client_gets": Gone(), "early": (Until(), Vanish())},
    "lives-on": {"logs": None},
    # It lets no app wait for a client that does not read.
    "sends-in-vain": NEVER_STUCK,
    "returns-in-vain": {"logs": "DEBUG O1"},
}
