"""The differences that are improvements, each with its clause. One that does not happen any more is an error."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from harmless.model import IN_PROCESS

UVICORN = ("uvicorn-sansio", "uvicorn-websockets", "uvicorn-wsproto")
HYPERCORN = ("hypercorn-asyncio", "hypercorn-trio")
ALL = (*UVICORN, *HYPERCORN, "daphne", "granian", "gunicorn-asgi")
NOT_ON_TRIO = tuple(server for server in ALL if not server.endswith("-trio"))


@dataclass(frozen=True)
class Improvement:
    """A part of a play that is better behind the guard."""

    clause: str
    app: str
    servers: tuple[str, ...]
    part: str
    """``client WHO``, ``journal WHO``, ``logs``, ``left`` or ``took``."""
    guarded: Any = None
    """What it is behind the guard, exactly. Of the log, `None` allows lines of the clause, and fewer of others; of the
    time, that it is less."""
    sometimes: bool = False
    """It is a race on the bare server, which may end well."""
    cost: bool = False
    """It is no improvement, but what the clause costs."""

    def explains(self, bare: Any, guarded: Any) -> bool:
        """Return whether this is the difference that is meant."""
        if self.guarded is not None:
            return bool(guarded == self.guarded)
        if self.part == "took":
            return bool(guarded < bare) is not self.cost
        more = Counter(guarded) - Counter(bare)
        return self.part == "logs" and all(f"[wsguard-{self.clause}]" in line for line in more)


ANSWERED = ["denied 500 ['content-type: text/plain; charset=utf-8'] b'Internal Server Error'"]

CRASHES = [
    improvement
    for app in ("raises-unasked", "raises")
    for improvement in (
        Improvement("H2", app, ALL, "logs"),
        Improvement("H2", app, (*HYPERCORN, "granian"), "client", ANSWERED),
    )
]

# Some servers deliver less than the app sent, or another type, and some raise.
REPAIRED = {
    "text": "'text'",
    "bytes": "b'bytes'",
    "array": "b'\\x01\\x00\\x02\\x00'",
    "memoryview": "b'view'",
    "bytearray": "b'array'",
}
LOST = {
    "uvicorn-sansio": ("array", "bytes", "text"),
    "uvicorn-websockets": ("array",),
    "uvicorn-wsproto": ("array",),
    "hypercorn-asyncio": ("bytes", "text"),
    "hypercorn-trio": ("bytes", "text"),
    "daphne": tuple(REPAIRED),
    "granian": ("array", "bytes", "text"),
    "gunicorn-asgi": ("array", "bytes", "text"),
}
RAISED = {**LOST, "uvicorn-sansio": ("bytes", "text"), "granian": (), "gunicorn-asgi": ("bytes",)}
BUFFERS = [
    *(
        Improvement("O9", "buffers", (server,), f"client {kind}", [REPAIRED[kind], "end 1000 ''"])
        for server, kinds in LOST.items()
        for kind in kinds
    ),
    *(
        Improvement("O9", "buffers", (server,), f"journal {kind}", ["sent"])
        for server, kinds in RAISED.items()
        for kind in kinds
    ),
    Improvement("O9", "buffers", ALL, "logs"),
    Improvement("O9", "buffers", ("daphne",), "took"),
]

THESE_CRASH = (*UVICORN, *HYPERCORN, "gunicorn-asgi")
VALIDATION = [
    Improvement("O1", "fastapi-validation-after-accept", ALL, "client five", ["end 1000 ''"]),
    Improvement("O1", "fastapi-validation-after-accept", ("daphne",), "took", sometimes=True),  # on the real defaults
    *(
        Improvement("O4", "fastapi-validation-after-accept", THESE_CRASH, part, ["end 1008 ''"])
        for part in ("client none", "client word")
    ),
    Improvement("O4", "fastapi-validation-after-accept", tuple(one for one in ALL if one != "daphne"), "logs"),
    Improvement("O11", "fastapi-validation-after-accept", ("daphne",), "logs"),
]

# These repeat the disconnect for ever, or twice.
REPEAT = (*UVICORN, "granian")
CHANNELS = [
    *(
        improvement
        for app in ("channels-async-consumer", "channels-sync-consumer")
        for improvement in (
            Improvement("O8", app, REPEAT, "journal", ["disconnect"]),
            Improvement("O16", app, ("uvicorn-sansio", "uvicorn-wsproto", "hypercorn-asyncio"), "left", []),
            Improvement("O16", app, tuple(one for one in NOT_ON_TRIO if one != "daphne"), "logs"),
        )
    ),
    Improvement("O16", "channels-no-stop-consumer", ("hypercorn-asyncio",), "left", []),
    Improvement("O16", "channels-no-stop-consumer", ("hypercorn-asyncio", "granian"), "logs"),
    Improvement("E2", "channels-no-stop-consumer", ("uvicorn-websockets",), "logs"),
    Improvement("O8", "channels-no-stop-consumer", ("granian",), "journal ann", ["0 are there"]),
    Improvement("O8", "channels-no-stop-consumer", ("granian",), "journal bob", ["1 are there"]),
    Improvement("O6", "channels-group-message-after-close", NOT_ON_TRIO, "logs"),
    Improvement(
        "O6",
        "channels-group-message-after-close",
        ("hypercorn-asyncio", "daphne"),
        "client census",
        ["'0 members'", "end 1000 ''"],
        sometimes=True,
    ),
    Improvement(
        "O6",
        "channels-group-message-after-close",
        ("hypercorn-asyncio", "daphne"),
        "journal",
        ["disconnect() is done"],
        sometimes=True,
    ),
    Improvement("E2", "channels-farewell", ("uvicorn-websockets",), "logs"),
    Improvement("E2", "channels-farewell-sync", ("uvicorn-websockets",), "logs"),
]

# By their ASGI version, 2.4.
RAISE = (*UVICORN, "gunicorn-asgi")
UNRETRIEVED = "ERROR asyncio: Task exception was never retrieved [ClientDisconnected]"
TURNS = "others had their turns"
SENDING = [
    Improvement("O2", "broadcast-to-one-who-left", RAISE, "client ann", ["end 1011 ''"]),
    Improvement("O2", "broadcast-to-one-who-left", RAISE, "logs"),
    Improvement("E2", "long-cleanup-finally", (*UVICORN, *HYPERCORN, "granian", "gunicorn-asgi"), "logs"),
    Improvement("O1", "shielded-work", ("granian",), "client", ["end 1000 ''"]),
    Improvement("E2", "three-senders", RAISE, "logs"),
    # Its version promises that a late message is discarded, but autobahn raises where it has noticed the end before.
    *(Improvement("O7", "three-senders", ("daphne",), f"journal {n}", ["done"], sometimes=True) for n in range(3)),
    Improvement("O7", "firehose", ("uvicorn-sansio", "uvicorn-wsproto"), "journal", ["told by its send", TURNS]),
    Improvement("O7", "firehose", (*HYPERCORN, "daphne"), "journal", [TURNS]),
    Improvement("O4", "task-waits-in-receive", ("granian",), "client", ["end 1000 ''"]),
    Improvement("O4", "task-waits-in-receive", ("granian",), "took"),
    Improvement("O7", "task-sends-late", ("uvicorn-websockets", "gunicorn-asgi"), "logs", [UNRETRIEVED]),
    Improvement("O4", "proxy", ("granian",), "client ended", ["'upstream one'", "end 4321 'upstream is done'"]),
    Improvement("O4", "proxy", ("granian",), "took", sometimes=True),
    # The guard sees the client leave while the app is busy, which the server answers only then.
    Improvement("O12", "channels-busy", ("granian",), "client", ["'0'", "'1'", "end 1000 ''"], sometimes=True),
    Improvement("O12", "broadcast-to-one-who-left", ("gunicorn-asgi",), "client bob", ["end 1000 ''"], sometimes=True),
    Improvement(
        "O16",
        "channels-no-stop-consumer",
        ("granian",),
        "client ann",
        ["'welcome'", "'somebody left'", "end 1000 ''"],
        sometimes=True,
    ),
    Improvement("O12", "three-senders", ("granian",), "client", [*["'tick'"] * 3, "end 1000 ''"], sometimes=True),
    Improvement("O12", "three-senders", ("granian",), "took", sometimes=True),
    Improvement("O12", "llm-stream", ("granian",), "client", [*(f"'token {n}'" for n in range(3)), "end 1000 ''"]),
]

# Daphne logs what an app raised up to a second late.
LATE = [Improvement("E2", "long-cleanup-finally", ("daphne",), "logs", sometimes=True)]
CLOSES = [Improvement("O11", "fastapi-dependencies", ("daphne",), "logs")]

# Granian takes no denial without `more_body`, and ends nothing that the app has closed until the client gives up.
NO_BODY = "denied {} ['content-type: text/html; charset=utf-8'] b''"
FRAMEWORKS = [
    *(
        improvement
        for app, status in (("quart-forbidden", 403), ("quart-unknown", 404))
        for improvement in (
            Improvement("H7", app, ("granian",), "client", [NO_BODY.format(status)]),
            Improvement("H7", app, ("granian",), "logs"),
        )
    ),
    Improvement(
        "O4",
        "quart-closes",
        ("granian",),
        "client",
        ["subprotocol chat", '\'{"heard": "hello"}\'', "end 4000 'enough'"],
    ),
    Improvement("O4", "quart-closes", ("granian",), "journal", ["saved"]),
    Improvement("O4", "quart-closes", ("granian",), "took", sometimes=True),
    Improvement("O1", "quart-returns", ("granian",), "client", ["'hello'", "end 1000 ''"]),
    Improvement("O1", "quart-returns", ("granian",), "took", sometimes=True),
    # This uvicorn raises a RuntimeError for what is sent after the end, which nobody takes for a disconnect.
    *(
        Improvement("E2", app, ("uvicorn-websockets",), "logs", sometimes=True)
        for app in ("litestar-listener", "litestar-stream")
    ),
    # Having closed, engine.io waits for the disconnect, which the server owes it.
    *(
        Improvement("O8", f"socketio-{name}", NOT_ON_TRIO, "left", [], sometimes=True)
        for name in ("websocket", "upgrade", "refusal", "kick", "two")
    ),
]

# Granian answers the client's close once the app has ended, or has received a few times more, which the guard keeps
# from it. So the client waits until the app has ended, as it does bare where an app cleans up and receives no more.
COSTS = [
    Improvement("O8", app, ("granian",), "took", cost=True)
    for app in ("channels-async-consumer", "channels-sync-consumer")
]

# What an app lets out stands in the log, where these clients only raise it, or swallow it, as httpx-ws does. It closes
# the streams of an app whose client leaves.
TEST_CLIENTS = [
    Improvement("O2", "testclient-raises", (IN_PROCESS,), "logs"),
    Improvement("H2", "testclient-raises-early", (IN_PROCESS,), "logs"),
    Improvement("O2", "httpx-ws-closes-streams", (IN_PROCESS,), "logs"),
    # The test client would raise in the test what is no error.
    *(
        Improvement(
            "E2", "testclient-lets-out", (IN_PROCESS,), f"client leaves on {backend}", ["begun", "raised nothing"]
        )
        for backend in ("asyncio", "trio")
    ),
]

IMPROVEMENTS = (
    *COSTS,
    *FRAMEWORKS,
    *LATE,
    *CLOSES,
    *CRASHES,
    *BUFFERS,
    *VALIDATION,
    *CHANNELS,
    *SENDING,
    *TEST_CLIENTS,
)


def improvements(server: str, app: str) -> list[Improvement]:
    """Return those of an app on a server."""
    return [one for one in IMPROVEMENTS if one.app == app and server in one.servers]
