"""The contract of `WebSocketGuardMiddleware`, clause by clause. The docs and `asgi-wsguard explain` show this text."""

from __future__ import annotations

from typing import NamedTuple


class Clause(NamedTuple):
    """One promise.

    Attributes:
        id: its name in log lines, errors and tests, such as ``"H4"``.
        app: what the app does. In the D clauses, the connection. In the E clauses, the promise itself.
        client: what the client gets.
        sees: what the app sees.
        why: the reason for the promise.
    """

    id: str
    app: str
    client: str
    sees: str
    why: str


SECTIONS = {
    "H": "Before the handshake is answered",
    "O": "While the connection is open",
    "D": "While the server is drained",
    "E": "At the end",
}
"""By the first letter of a clause's id."""

# Texts are Markdown. An empty text means that there is nothing to say.
_CLAUSES = (
    Clause(
        "H1",
        "returns without an answer",
        "500",
        "",
        "A client that gets no answer waits for its own time-out, and has nothing to show its user meanwhile. The app "
        "has failed, and 500 is how HTTP says that.",
    ),
    Clause(
        "H2",
        "raises",
        "500; where the server has no denial response, 500 from the server if its own crash path is known to be sound "
        "(daphne, gunicorn's ASGI worker), else 403",
        "its own exception propagates to the server, unchanged, after the client has been answered",
        "The client must not be kept waiting because the app has a bug, and error trackers around the app must see the "
        'bug as before. Clients take 403 as "never come back" and 500 as "later", and alerts look for 5xx, so 403 is '
        "only for servers that would leave the client without an answer.",
    ),
    Clause(
        "H3",
        "is cancelled because the server is stopping",
        "503",
        "the cancellation propagates",
        "503 tells clients and proxies to try again: the next process will answer.",
    ),
    Clause(
        "H4",
        "has not answered after `handshake_timeout` (30 s)",
        "503 at that moment, whatever the app does. A denial response whose body has begun stays unfinished",
        "then it is cancelled",
        "A database that hangs, or a lock that is never released, holds a client and a socket forever. The answer goes "
        "out first, because an app may sit in a thread or a shield, or swallow its cancellation. 30 s is longer than a "
        "cold start, and shorter than the 60 s after which nginx and the AWS load balancers answer for you.",
    ),
    Clause(
        "H5",
        "sends `websocket.close`",
        "403",
        "`receive()` then returns `websocket.disconnect`",
        "That is how the ASGI specification rejects a handshake. An app that waits for the disconnect hangs on servers "
        "that never send it.",
    ),
    Clause(
        "H6",
        "sends a denial response",
        "that response",
        "",
        "The app has answered. The specification holds the start back until the first body, so that no response is "
        "started without being finished.",
    ),
    Clause(
        "H7",
        "starts a denial response and ends before its body",
        "the app's status and headers, with an empty body",
        "",
        "The app has chosen the status. Its `content-length` is removed if it would be wrong, because strict clients "
        "refuse such a response.",
    ),
    Clause(
        "H8",
        "ends inside the body",
        "returned: the body is ended. Raised: the response stays unfinished, so that the client can tell",
        "",
        "A truncated body that looks complete is worse than one that is visibly truncated.",
    ),
    Clause(
        "H9",
        "sends a denial response to a server that cannot send it",
        "403",
        "no error; one warning in the log",
        "An app should run on every server. Those without the `websocket.http.response` extension can only send 403.",
    ),
    Clause(
        "H10",
        "sends a message out of order or of unknown type, or something that is not a dict",
        "as H2, if the app lets the error escape",
        "`ProtocolViolation`",
        "It has no harmless reading. The error is raised by the `await send(...)` at fault, with the state and what "
        "was expected. Some servers silently drop such a message, and others crash.",
    ),
    Clause(
        "H11",
        "accepts with a header that cannot be sent: a name that is not a token (RFC 9110) or belongs to the handshake "
        "(`upgrade`, `connection`, `sec-websocket-accept`, `sec-websocket-extensions`, `sec-websocket-protocol`, "
        "`content-length`, `transfer-encoding`), a value with control characters, or either of them not `bytes`",
        "as H10",
        "`ProtocolViolation`",
        "A line break in a header lets whoever wrote it inject headers of their own. A header that is not `bytes` "
        "ends the worker of some servers, with every connection on it.",
    ),
    Clause(
        "H12",
        "is still deciding when the client leaves",
        "",
        "`receive()` returns `websocket.disconnect`; an accept or a denial is too late, as data is in O7",
        "Nobody is there to receive an answer, and the app should stop working on it.",
    ),
    Clause(
        "H13",
        "answers too late: after H4, or from a task that it left behind when it ended",
        "what it got already",
        "the late `send()` is as in O7; the server never sees it",
        "A second answer to one handshake is an illegal sequence, which servers handle badly.",
    ),
    Clause(
        "H14",
        "accepts with a subprotocol that the client did not offer",
        "accepted with none",
        "a warning",
        "RFC 6455 makes the client fail such a connection, and some servers do worse than that. Without a subprotocol "
        "the connection works, and the client knows that it has none.",
    ),
    Clause(
        "O1",
        "returns",
        "close 1000",
        "",
        "The app has finished and tells nobody. Without a close the client sees 1006 or 1011, as if something had "
        "failed, or waits forever.",
    ),
    Clause(
        "O2",
        "raises",
        "close 1011, without any text of the exception",
        "its own exception propagates, unchanged, after the close",
        "1011 is the code for an internal error: clients that reconnect on errors do so. The text of an exception is "
        "for the log only.",
    ),
    Clause(
        "O3",
        "is cancelled",
        "close 1012",
        "the cancellation propagates",
        'Code 1012 means "service restart": the client reconnects, and need not show an error.',
    ),
    Clause(
        "O4",
        "closes",
        "its code and reason. A reason over 123 bytes is cut; 1005 becomes 1000; 1004, 1006 and 1015 become 1011",
        "any other code that cannot be sent: `ProtocolViolation`",
        "Proxies forward what they received, and these four codes can be received but not sent. Some servers put them "
        "on the wire regardless, and browsers refuse that frame.",
    ),
    Clause(
        "O5",
        "closes a second time, or after the client has left",
        "",
        "a no-op",
        "`finally: await websocket.close()` is good style. It must not raise for being careful.",
    ),
    Clause(
        "O6",
        "sends after its own close",
        "",
        "as O7; the log has a warning",
        "A message that was not sent should not look as if it was.",
    ),
    Clause(
        "O7",
        "sends data when the connection is over",
        "",
        "what the server's ASGI version promises: from 2.4 on (uvicorn, gunicorn) `ClientDisconnected`; before "
        "(hypercorn, anycorn, daphne, granian) the message is dropped. `send_after_end` sets it for all servers: "
        '`"raise"` or `"drop"`',
        "Apps are written for the server that they run on: a handler that says goodbye on a server that drops the "
        "message runs to its end only if the guard drops it too. Every so often a dropped message lets other tasks "
        "run, so that a loop of sends cannot freeze the process.",
    ),
    Clause(
        "O8",
        "receives after the end",
        "",
        "each of its tasks gets `websocket.disconnect` once, and all of them together at most a hundred; a task that "
        "asks again waits until it is cancelled. After the app's own close the disconnect arrives within "
        "`close_timeout` (5 s), also in a `receive()` that is already waiting",
        "Some servers never return from such a `receive()`. Others return at once, without letting other tasks run, "
        "and a loop that ignores the disconnect then freezes the whole process. A handler that is called for each "
        "disconnect must not be called a hundred times.",
    ),
    Clause(
        "O9",
        "sends both or neither of `text` and `bytes`, or another type",
        "as O2, if the app lets the error escape. Text in `bytes` is sent as text, bytes in `text` as bytes, and any "
        "buffer as its bytes, with a warning",
        "`ProtocolViolation` if there is no harmless reading",
        "Servers pick one of the two, each in its own way, or fail internally. Whatever one server delivers, such as a "
        "numpy array, all of them deliver.",
    ),
    Clause(
        "O10",
        "accepts again, or denies after it accepted",
        "as O2, if the app lets the error escape",
        "`ProtocolViolation`",
        "The handshake has been answered, and cannot be answered twice.",
    ),
    Clause(
        "O11",
        "closes with a code that the server refuses (daphne sends 1000 and 3000 to 4999 only)",
        "the connection ends regardless: what the guard could not close it leaves to the server, by raising",
        "the server's error",
        "The client must not wait for a close that the server will not send.",
    ),
    Clause(
        "O12",
        "keeps running after the connection is over, and does not know it: no `receive()` has returned the disconnect, "
        "no `send()` has raised, and it has neither closed nor denied",
        "",
        "it is cancelled `exit_timeout` (60 s) later, since nothing else is left to tell it; 10 s later if the server "
        "closed the connection because it is stopping. The guard notices that the client has left within a second of "
        "the server",
        "An app that waits for the next message of a queue never learns that its client is gone. Each such client "
        "leaves a task and its memory behind, and keeps the server from stopping.",
    ),
    Clause(
        "O16",
        "keeps running after the connection is over, and knows it",
        "",
        "nothing: it may clean up for as long as it needs. If it keeps using the connection, with `send()` or "
        "`receive()`, it is cancelled after another `exit_timeout`. `cleanup_timeout` (off) limits any clean-up. An "
        "app that takes longer than `exit_timeout` is counted, listed by `drainer.connections`, and logged at INFO",
        "A transcript, a summary or a commit is written when the client has left. Cutting it off loses somebody's "
        "work.",
    ),
    Clause(
        "O13",
        "has neither sent nor received a message for `idle_timeout`",
        "close 1001",
        "`receive()` returns `websocket.disconnect` with that code, `send()` is as in O7; then O12, O16",
        "Clients that vanish silently, as phones do, use memory until something closes their connections.",
    ),
    Clause(
        "O14",
        "has been connected for `max_lifetime`",
        "close 1001",
        "the same",
        "It lets credentials expire, and spreads clients over the servers behind a load balancer again.",
    ),
    Clause(
        "O15",
        "is stuck in one `send()` for `send_timeout` because the client does not read",
        "close 1008, if it reads again within `close_timeout`; if not, whatever the server does",
        "the same, and before that `send()` raises `ClientDisconnected`",
        "One slow client must not block an app that sends to many.",
    ),
    Clause(
        "D1",
        "is new, or its handshake is not answered yet",
        "503 with `retry-after`, at once",
        "a new one: it is not called. Otherwise `receive()` returns `websocket.disconnect`, and an accept or a denial "
        "is as in O7; then D4. A denial response that it has begun it may finish until its turn (D3) comes",
        "A client that is admitted now would be disconnected in a moment. Another process answers when it tries again.",
    ),
    Clause(
        "D2",
        "is open",
        "nothing for `grace`",
        "",
        "Most conversations end on their own, given time.",
    ),
    Clause(
        "D3",
        "is still open",
        "close with the `code` and `reason` of the drain, 1012 by default, at its turn: evenly over `spread`, the "
        "oldest first, each at a random moment of its share and never before it. Also when it is closed by "
        "`OpenConnection.close()`, with the code given there",
        "D4; closed by `OpenConnection.close()`, O12 and O16",
        "Clients that are closed at the same instant reconnect at the same instant, and overload the next process.",
    ),
    Clause(
        "D4",
        "was closed by the drainer",
        "",
        "`receive()` returns `websocket.disconnect` with that code, `send()` is as in O7. It has the drainer's "
        "`exit_timeout` (10 s) to end, whatever it knows; then it is cancelled. `drain()` returns when it has ended, "
        "or has kept running for another `exit_timeout` after its cancellation",
        "An app must learn of the end as of any other, and must not keep the server from stopping.",
    ),
    Clause(
        "D5",
        "exists when a signal arrives that `on_signal` names",
        "as from `drain()`",
        "as in a drain. The signal reaches the server when the drain is over, or when a second one arrives",
        "Servers cut open connections or wait for them forever, and the app has no say.",
    ),
    Clause(
        "E1",
        "There is exactly one `ConnectionReport` of each websocket, which each observer receives, and at most one log "
        "line. An observer that raises or hangs does no harm.",
        "",
        "",
        "Figures and alerts are right only if nothing is missing and nothing is counted twice.",
    ),
    Clause(
        "E2",
        "An app that ends because its own client has left is no error: `ClientDisconnected`, Starlette's "
        "`WebSocketDisconnect`, or a group of nothing else. It is logged at DEBUG. The `ClientDisconnected` of another "
        "connection, raised by a broadcast that does not catch it, is the app's error (O2), and the line names the "
        "path of the other. (A test that expects the app to raise `WebSocketDisconnect` no longer sees it.)",
        "",
        "",
        "Clients leave all day. A log full of that hides real errors.",
    ),
    Clause(
        "E3",
        "An error at the end never hides the app's own exception.",
        "",
        "",
        "The first error is the one to look for.",
    ),
    Clause(
        "E4",
        "What the guard sends at the end is shielded from cancellation, and bounded by `close_timeout` (5 s). What the "
        "server has not taken by then is left to it, with a warning.",
        "",
        "",
        "A server that is stopping should still tell its clients, and should still stop.",
    ),
    Clause(
        "E5",
        "Any other scope is passed through with the very same `receive` and `send`.",
        "",
        "",
        "HTTP and lifespan do not concern the guard, and should not pay for it.",
    ),
    Clause(
        "E6",
        "The server never gets an illegal sequence, however many tasks of the app send.",
        "",
        "",
        "Servers respond to an illegal sequence with anything from silence to the end of the worker.",
    ),
    Clause(
        "E7",
        "No task, timer or reference of the guard outlives the connection.",
        "",
        "",
        "Whatever leaks with each connection fills the memory in the end.",
    ),
    Clause(
        "E8",
        "Two guards around one app behave as one: the outer one, with its options.",
        "",
        "",
        "A framework, a library and a deployment may each add one without knowing of the others.",
    ),
    Clause(
        "E9",
        "When `max_connections` is reached, the next client gets 503 with `retry-after`, and the app is not called.",
        "",
        "",
        "A process that rejects some clients in time serves the rest. One that admits all of them serves none.",
    ),
)

CLAUSES = {clause.id: clause for clause in _CLAUSES}
"""By id, in the order of the contract."""
