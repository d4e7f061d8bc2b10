"""The contract: what `WebSocketGuardMiddleware` promises, clause by clause. The docs and `explain` read it here."""

from __future__ import annotations

from typing import NamedTuple


class Clause(NamedTuple):
    """One promise.

    Attributes:
        id: what log lines, errors and tests call it, such as ``"H4"``.
        app: what the app does; for the clauses D, the connection; for the clauses E, the promise itself.
        client: what the client gets.
        sees: what the app sees.
        why: why it is so.
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

# Texts are Markdown. An empty one says that there is nothing to say.
_CLAUSES = (
    Clause(
        "H1",
        "returns without an answer",
        "500",
        "",
        "A client that gets no answer waits for its own time-out, and shows its user nothing meanwhile. The app has "
        "failed, and 500 is how HTTP says that.",
    ),
    Clause(
        "H2",
        "raises",
        "500",
        "its own exception goes on to the server, unchanged, after the client was told",
        "The client must not wait because the app has a bug, and error trackers around the app must see the bug as "
        "ever.",
    ),
    Clause(
        "H3",
        "is cancelled, as the server stops",
        "503",
        "the cancellation goes on",
        "503 tells clients and proxies to come again: the next process will answer.",
    ),
    Clause(
        "H4",
        "has not answered after `handshake_timeout` (20 s)",
        "503 at that moment, whatever the app does. A denial response whose body had begun stays unfinished",
        "then it is cancelled",
        "A database that hangs, or a lock that is never free, holds a client and a socket for ever. The answer goes "
        "out first, as an app may sit in a thread, in a shield, or swallow its cancellation.",
    ),
    Clause(
        "H5",
        "sends `websocket.close`",
        "403",
        "`receive()` then gives `websocket.disconnect`",
        "That is how the ASGI specification refuses a handshake. An app that waits for the disconnect hangs on servers "
        "that never send it.",
    ),
    Clause(
        "H6",
        "sends a denial response",
        "that response",
        "",
        "The app has answered. The specification holds the start back until the first body, so nothing goes out half.",
    ),
    Clause(
        "H7",
        "starts a denial response and ends before its body",
        "the app's status and headers, with an empty body",
        "",
        "The app has said which status it means. Its `content-length` goes if it would lie, as strict clients refuse "
        "such a response.",
    ),
    Clause(
        "H8",
        "ends inside the body",
        "returned: the body is ended. Raised: the response stays unfinished, so that the client can tell",
        "",
        "Half a body that looks whole is worse than one that is seen to be cut.",
    ),
    Clause(
        "H9",
        "sends a denial response, and the server cannot",
        "403",
        "no error; one warning in the log",
        "An app should run on every server. Those without the `websocket.http.response` extension can send 403 only.",
    ),
    Clause(
        "H10",
        "sends out of order, an unknown type, or what is no dict",
        "as H2, if it lets the error out",
        "`ProtocolViolation`",
        "It has no harmless reading. The error comes at the very `await send(...)`, with the state and what was "
        "expected; some servers drop such a message in silence, others die of it.",
    ),
    Clause(
        "H11",
        "accepts with headers that cannot be sent: not `bytes`, with CR, LF or NUL, with an empty name or one that "
        "begins with `:`, or with `sec-websocket-protocol`",
        "as H10",
        "`ProtocolViolation`",
        "A line break in a header lets whoever wrote it add headers of their own, and a header that is no `bytes` ends "
        "the worker of some servers, with every connection on it.",
    ),
    Clause(
        "H12",
        "is still deciding when the client leaves",
        "",
        "`receive()` gives `websocket.disconnect`; an accept or a denial raises `ClientDisconnected`",
        "Nobody is there to be answered, and the app should stop working for nobody.",
    ),
    Clause(
        "H13",
        "answers too late: after H4, or from a task that it left behind when it ended",
        "what it got already",
        "`ClientDisconnected` from that late `send()`",
        "A second answer to one handshake is an illegal sequence, which servers take badly.",
    ),
    Clause(
        "H14",
        "accepts with a subprotocol that the client did not offer",
        "accepted with none",
        "a warning",
        "RFC 6455 makes the client fail such a connection, and some servers do worse than that. Without a subprotocol "
        "it works, and the client knows that it has none.",
    ),
    Clause(
        "O1",
        "returns",
        "close 1000",
        "",
        "The app is done, and says so to no one: without a close the client sees 1006 or 1011, as if something had "
        "broken, or waits for ever.",
    ),
    Clause(
        "O2",
        "raises",
        "close 1011, with no word of the exception",
        "its own exception goes on, unchanged, after the close",
        "1011 is the code for an error of the server's: clients that come again on errors do so. What an exception "
        "says is for the log only.",
    ),
    Clause(
        "O3",
        "is cancelled",
        "close 1012",
        "the cancellation goes on",
        "1012 means that the service restarts: the client comes again, and need not show an error.",
    ),
    Clause(
        "O4",
        "closes",
        "its code and reason. A reason over 123 bytes is cut; 1005 becomes 1000; 1004, 1006 and 1015 become 1011",
        "any other code that cannot be sent: `ProtocolViolation`",
        "Proxies hand on what they received, and those four can be received but not sent: some servers put them on the "
        "wire all the same, and browsers refuse that frame.",
    ),
    Clause(
        "O5",
        "closes once more, or after the client has left",
        "",
        "nothing happens",
        "`finally: await websocket.close()` is good style. It must not raise for being careful.",
    ),
    Clause(
        "O6",
        "sends after its own close",
        "",
        "`ClientDisconnected`",
        "What was not sent should not look as if it was.",
    ),
    Clause(
        "O7",
        "sends after the client has left",
        "",
        "`ClientDisconnected`",
        "The specification asks for an `OSError`. Servers that drop such a message in silence let an app that only "
        "sends run for ever.",
    ),
    Clause(
        "O8",
        "receives after the end",
        "",
        "`websocket.disconnect` again; the hundred and first time `ClientDisconnected`. After the app's own close it "
        "comes within `close_timeout` (5 s), also from a `receive()` that waited already",
        "Some servers never answer such a `receive()`. Others answer at once, without letting other tasks run: a loop "
        "that ignores the disconnect then freezes the whole process.",
    ),
    Clause(
        "O9",
        "sends both or neither of `text` and `bytes`, or another type",
        "as O2, if it lets the error out",
        "`ProtocolViolation`",
        "Servers choose one of the two, each its own way, or fail somewhere inside.",
    ),
    Clause(
        "O10",
        "accepts again, or denies after it accepted",
        "as O2, if it lets the error out",
        "`ProtocolViolation`",
        "The handshake was answered, and cannot be answered twice.",
    ),
    Clause(
        "O11",
        "closes with a code that the server refuses (daphne sends 1000 and 3000 to 4999 only)",
        "the connection ends all the same: what the guard could not close it leaves to the server, by raising",
        "the server's error",
        "The client must not wait for a close that the server does not want to send.",
    ),
    Clause(
        "O12",
        "goes on after the connection is over: the client has left, or it was denied or closed",
        "",
        "`exit_timeout` (10 s) later it is cancelled, and again as often as it goes on for that long. It need neither "
        "receive nor send: the guard notices within a second of the server that the client has left",
        "An app that waits for the next message of a queue never learns that its client is gone. Each such visit "
        "leaves a task and what it holds, and keeps the server from stopping.",
    ),
    Clause(
        "O13",
        "has sent and got no message for `idle_timeout`",
        "close 1001",
        "`receive()` gives `websocket.disconnect` with that code, `send()` raises `ClientDisconnected`; then O12",
        "Clients that are gone without a word, as phones are, cost memory until somebody ends them.",
    ),
    Clause(
        "O14",
        "has been connected for `max_lifetime`",
        "close 1001",
        "the same",
        "It lets credentials run out, and spreads clients anew over the servers behind a balancer.",
    ),
    Clause(
        "O15",
        "is stuck in one `send()` for `send_timeout`, as the client does not read",
        "close 1008, if it reads again within `close_timeout`; if not, what the server makes of it",
        "the same, and first of all that `send()` raises `ClientDisconnected`",
        "One slow client must not hold up an app that sends to many.",
    ),
    Clause(
        "D1",
        "comes, or has no answer to its handshake yet",
        "503 with `retry-after`, at once",
        "a new one: it is not called. Else `receive()` gives `websocket.disconnect`, and an accept or a denial raises "
        "`ClientDisconnected`; then O12. A denial response that it has begun it may finish until its turn (D3) comes",
        "Who is let in now is thrown out in a moment. Another process answers when the client comes again.",
    ),
    Clause(
        "D2",
        "is open",
        "nothing for `grace`",
        "",
        "Most conversations end by themselves, if they are given the time.",
    ),
    Clause(
        "D3",
        "is open still",
        "close with the `code` and `reason` of the drain, 1012 by default, at its turn: evenly over `spread`, the "
        "oldest first, each at a random moment of its share, none before. Also when it is closed by "
        "`OpenConnection.close()`, with the code given there",
        "D4",
        "Clients that are closed in one instant come back in one instant, and the next process falls over.",
    ),
    Clause(
        "D4",
        "was closed by the drainer",
        "",
        "`receive()` gives `websocket.disconnect` with that code, `send()` raises `ClientDisconnected`; then O12. "
        "`drain()` returns when it has ended, or has gone on for another `exit_timeout` after its cancellation",
        "An app must hear of the end as of any other, and must not keep the server from stopping.",
    ),
    Clause(
        "D5",
        "is there when a signal comes that `on_signal` names",
        "as from `drain()`",
        "as in a drain. The server hears of the signal when the drain is over, or a second one comes",
        "Servers cut what is open, or wait for it for ever, and an app is not asked.",
    ),
    Clause(
        "E1",
        "There is exactly one `ConnectionReport` of each websocket, which each observer is given, and one log line at "
        "most. An observer that raises or hangs harms nobody.",
        "",
        "",
        "Figures and alerts are right only if nothing is missing and nothing is counted twice.",
    ),
    Clause(
        "E2",
        "An app that ends because the client has left is no error: `ClientDisconnected`, Starlette's "
        "`WebSocketDisconnect`, or a group of nothing else. It is logged at DEBUG. (A test that wants "
        "`WebSocketDisconnect` to come out of the app will not see it any more.)",
        "",
        "",
        "Clients leave all day. A log full of that hides what is wrong.",
    ),
    Clause(
        "E3",
        "What goes wrong at the end never hides the app's own exception.",
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
        "A server that stops should still tell its clients, and should still stop.",
    ),
    Clause(
        "E5",
        "Any other scope is handed on with the very same `receive` and `send`.",
        "",
        "",
        "HTTP and lifespan are none of its business, and should pay nothing.",
    ),
    Clause(
        "E6",
        "The server is never sent an illegal sequence, from however many tasks the app sends.",
        "",
        "",
        "Servers answer an illegal sequence with anything from silence to the end of the worker.",
    ),
    Clause(
        "E7",
        "No task, timer or reference of the guard's outlives the connection.",
        "",
        "",
        "What stays behind each time fills the memory in the end.",
    ),
    Clause(
        "E8",
        "Two guards around one app behave as one: the outer one, with its options.",
        "",
        "",
        "A framework, a library and a deployment may each add one, and need not know of each other.",
    ),
    Clause(
        "E9",
        "Where `max_connections` are there already, the next client gets 503 with `retry-after`, and the app is not "
        "called.",
        "",
        "",
        "A process that refuses some in time serves the others; one that takes all serves nobody.",
    ),
)

CLAUSES = {clause.id: clause for clause in _CLAUSES}
"""By id, in the order of the contract."""
