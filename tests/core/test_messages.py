"""What one message may hold: forwarded as it is, repaired with one warning, or refused (O4, O9, H10)."""

from __future__ import annotations

import array
import ctypes
import enum
import types
from collections import OrderedDict, UserDict
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from asgi_wsguard import ConnectionReport, DenialResponse, ProtocolViolation
from asgi_wsguard import WebSocketGuardMiddleware as Guard
from asgi_wsguard.rules.lifecycle import Lifecycle, Policy
from asgi_wsguard.testing import StrictServer
from asgi_wsguard.testing.spec import IllegalSequence, SpecChecker
from harness.messages import ACCEPT, CLOSE

pytestmark = pytest.mark.anyio
SEND: dict[str, Any] = {"type": "websocket.send"}
START: dict[str, Any] = {"type": "websocket.http.response.start", "status": 401, "headers": []}
BODY: dict[str, Any] = {"type": "websocket.http.response.body", "body": b"no"}


class Kind(str, enum.Enum):
    ACCEPT = "websocket.accept"
    SEND = "websocket.send"
    CLOSE = "websocket.close"


class Text(str):
    __slots__ = ()


class Result:
    def __init__(self) -> None:
        self.server = StrictServer("/ws", subprotocols=["chat"])
        self.reports: list[ConnectionReport] = []
        self.error: BaseException | None = None

    async def observe(self, report: ConnectionReport) -> None:
        self.reports.append(report)

    @property
    def violations(self) -> list[tuple[str, str]]:
        return [violation[:2] for violation in self.reports[0].violations]


async def serve(*messages: Any, **options: Any) -> Result:
    """Send the messages through the guard, as one app."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        for message in messages:
            await send(message)

    result = Result()
    try:
        await result.server.run(Guard(app, observers=[result.observe], **options))
    except Exception as exc:
        result.error = exc
    assert result.server.violations == []
    return result


# Transparency


@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize(
    "messages",
    [
        [ACCEPT, CLOSE],
        [{**ACCEPT, "subprotocol": None}, {**CLOSE, "reason": None}],
        [{**ACCEPT, "subprotocol": "chat", "headers": [[b"x-app", b"1"], (b"X-App", b"")]}, {**CLOSE, "code": 1001}],
        [{**ACCEPT, "headers": ()}, {**CLOSE, "code": 4001, "reason": "é" * 61}],
        [{**ACCEPT, "headers": ([b"x-app", b"\xff"],), "more": object()}, {**CLOSE, "reason": "", "more": 1}],
        [ACCEPT, {**SEND, "text": "hi", "more": 1}, {**SEND, "bytes": b"hi", "text": None}, CLOSE],
        [ACCEPT, {**SEND, "text": Text("hi")}, {**SEND, "bytes": type("Bytes", (bytes,), {})(b"hi")}, CLOSE],
        [START, BODY],
        [{**START, "headers": [[b"x-app", b"1"]], "a": 1}, {**BODY, "more_body": True}, {**BODY, "more_body": False}],
        [{**START, "headers": ((b"x-app", b"1"),)}, {**BODY, "body": b"", "more": 1}],
        [CLOSE],
        [{**CLOSE, "code": 99999, "reason": ["not sent"]}],
        [OrderedDict(ACCEPT), OrderedDict(SEND, text="hi"), OrderedDict(CLOSE)],
        [{"type": Text("websocket.accept")}, {"type": Text("websocket.send"), "text": "hi"}, {"type": Kind.CLOSE}],
        [{"type": Kind.ACCEPT}, {"type": Kind.SEND, "bytes": b"hi"}, {"type": Text("websocket.close")}],
    ],
)
async def test_what_is_valid_reaches_the_server_as_the_very_object(messages: list[Any], strict: bool) -> None:
    result = await serve(*messages, strict=strict)
    assert result.error is None
    assert [id(message) for message in result.server.sent] == [id(message) for message in messages]
    assert result.violations == []


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([{**ACCEPT, "headers": None}], [{**ACCEPT, "headers": []}]),
        ([{**ACCEPT, "headers": {b"x": b"1"}.items()}], [{**ACCEPT, "headers": [(b"x", b"1")]}]),
        ([ACCEPT, {**SEND, "bytes": bytearray(b"1")}], [ACCEPT, {**SEND, "bytes": b"1"}]),
        ([ACCEPT, {**SEND, "bytes": memoryview(b"1234")[::2]}], [ACCEPT, {**SEND, "bytes": b"13"}]),
        ([ACCEPT, {**CLOSE, "code": None}], [ACCEPT, {**CLOSE, "code": 1000, "reason": None}]),
        ([{**START, "headers": None}, BODY], [START, BODY]),
        ([{"type": START["type"], "status": 401}, BODY], [START, BODY]),
        ([START, {"type": BODY["type"]}], [START, {**BODY, "body": b"", "more_body": False}]),
        ([START, {**BODY, "body": bytearray(b"no")}], [START, {**BODY, "more_body": False}]),
        ([START, {**BODY, "body": memoryview(b"no")}], [START, {**BODY, "more_body": False}]),
        (
            [START, {**BODY, "more_body": 1}, {**BODY, "more_body": None}],
            [START, {**BODY, "more_body": True}, {**BODY, "more_body": False}],
        ),
    ],
)
async def test_what_servers_write_differently_is_written_in_one_way(messages: list[Any], sent: list[Any]) -> None:
    result = await serve(*messages, strict=True)
    assert result.error is None
    assert result.server.sent[: len(sent)] == sent
    assert all(type(message.get("bytes", b"")) is bytes for message in result.server.sent)
    assert result.violations == []


@pytest.mark.parametrize("first", [ACCEPT, START], ids=["accept", "denial"])
async def test_headers_that_can_be_read_only_once(first: Any) -> None:
    for headers in (iter([[b"x", b"1"]]), (pair for pair in [(b"x", b"1")]), [iter((b"x", b"1"))]):
        result = await serve({**first, "headers": headers}, strict=True)
        assert result.server.sent[0] == {**first, "headers": [(b"x", b"1")]}


async def test_a_denial_that_ends_without_a_body_keeps_its_other_headers() -> None:
    headers = ([b"Content-Length", b"7"], [b"x-app", b"1"])
    result = await serve({**START, "headers": headers})
    assert result.server.client.denial is not None
    assert result.server.client.denial.headers == [(b"x-app", b"1")]


# Repairs

BUFFERS: list[tuple[Any, bytes]] = [
    (array.array("H", [1, 2]), array.array("H", [1, 2]).tobytes()),
    (memoryview(b"123456").cast("B", (2, 3)), b"123456"),
    ((ctypes.c_char * 3)(*b"abc"), b"abc"),
    (bytearray(b"ab"), b"ab"),
    (memoryview(b"abcd")[::-1], b"dcba"),
    (b"ab", b"ab"),
]


@pytest.mark.parametrize("key", ["text", "bytes"])
@pytest.mark.parametrize(("value", "sent"), [*BUFFERS, ("hi", "hi"), (Text("hi"), "hi")])
async def test_o9_data_under_the_wrong_name(key: str, value: Any, sent: Any) -> None:
    is_right = isinstance(value, str) if key == "text" else isinstance(value, (bytes, bytearray, memoryview))
    other = "bytes" if key == "text" else "text"
    message = {**SEND, key: value, other: None, "more": 1}
    result = await serve(ACCEPT, message, message)
    assert result.error is None
    assert result.server.client.messages == [sent, sent]
    if is_right:
        assert result.violations == []
        return
    assert result.violations == [("O9", f"the app sent websocket.send with {key}={type(value).__name__}")]
    kind = "text" if isinstance(value, str) else "bytes"
    assert result.server.sent[1] == {**SEND, kind: sent, "more": 1}
    assert message == {**SEND, key: value, other: None, "more": 1}

    result = await serve(ACCEPT, message, strict=True)
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "O9"


RELEASED = memoryview(b"gone")
RELEASED.release()


@pytest.mark.parametrize(
    "data",
    [
        {"bytes": (ctypes.py_object * 1)(object())},
        {"bytes": RELEASED},
        {"bytes": 3},
        {"bytes": [1, 2]},
        {"text": 1},
        {"text": object()},
        {"text": b"1", "bytes": "1"},
        {"text": bytearray(b"1"), "bytes": b"1"},
    ],
)
async def test_o9_data_with_no_one_reading(data: Any) -> None:
    result = await serve(ACCEPT, {**SEND, **data})
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "O9"
    assert result.server.client.messages == []
    assert result.server.client.close_code == 1011


@pytest.mark.parametrize(
    ("reason", "sent", "what"),
    [
        ("a\ud800b", "ab", ["the app closed with a reason that UTF-8 cannot encode"]),
        ("é" * 62, "é" * 61, ["the app closed with a reason too long for a frame"]),
        (
            "\ud800" + "é" * 62,
            "é" * 61,
            [
                "the app closed with a reason that UTF-8 cannot encode",
                "the app closed with a reason too long for a frame",
            ],
        ),
        ("\ud800" * 124, "", ["the app closed with a reason that UTF-8 cannot encode"]),
        ([{"loc": ["query"]}], "", ["the app closed with a reason of type list"]),
        (0, "", ["the app closed with a reason of type int"]),
    ],
)
async def test_o4_says_what_is_wrong_with_a_reason(reason: Any, sent: str, what: list[str]) -> None:
    result = await serve(ACCEPT, {**CLOSE, "code": 1008, "reason": reason})
    assert (result.server.client.close_code, result.server.client.close_reason) == (1008, sent)
    assert result.violations == [("O4", each) for each in what]

    result = await serve(ACCEPT, {**CLOSE, "code": 1008, "reason": reason}, strict=True)
    assert isinstance(result.error, ProtocolViolation)
    assert (result.error.clause, result.error.what) == ("O4", what[0])


@pytest.mark.parametrize("kind", [types.MappingProxyType, UserDict])
async def test_h10_another_mapping_is_sent_as_a_dict(kind: Any) -> None:
    result = await serve(kind(ACCEPT), kind({**SEND, "text": "hi"}), kind(CLOSE), kind(CLOSE))
    assert result.error is None
    assert result.server.sent == [ACCEPT, {**SEND, "text": "hi"}, CLOSE]
    assert all(type(message) is dict for message in result.server.sent)
    assert result.violations == [("H10", f"the app sent a message of class {kind.__name__}")]

    result = await serve(kind(ACCEPT), strict=True)
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "H10"


async def test_h10_what_is_wrong_with_another_mapping_comes_first() -> None:
    result = await serve(ACCEPT, UserDict(SEND))
    assert isinstance(result.error, ProtocolViolation)
    assert result.error.clause == "O9"
    assert result.violations == [("O9", "the app sent websocket.send with no data")]


@pytest.mark.parametrize("body", [None, "no", array.array("B", b"no"), [b"no"]])
async def test_h10_a_body_that_is_not_bytes(body: Any) -> None:
    result = await serve(START, {**BODY, "body": body})
    assert isinstance(result.error, ProtocolViolation)
    assert (result.error.clause, result.error.what) == ("H10", f"the app sent a body of type {type(body).__name__}")
    assert result.server.client.denial is not None
    assert result.server.client.denial.body == b""


# Nothing odd gets through


class Other(enum.Enum):
    SEND = "websocket.send"


@pytest.mark.parametrize("kind", [None, b"websocket.send", ["websocket.send"], Other.SEND, "WEBSOCKET.SEND", "", 1])
@pytest.mark.parametrize("before", [[], [ACCEPT], [START]], ids=["connecting", "open", "held"])
async def test_h10_a_type_that_is_none_of_the_words(kind: Any, before: list[Any]) -> None:
    for message in ({"type": kind, "text": "x"}, {"type": kind, "bytes": b"x"}):
        result = await serve(*before, message)
        assert isinstance(result.error, ProtocolViolation)
        assert result.error.clause == "H10"
        assert message not in result.server.sent


async def test_h10_no_type_is_never_data_once_the_connection_is_over() -> None:
    result = await serve(ACCEPT, CLOSE, {"type": None, "text": "x"})
    assert isinstance(result.error, ProtocolViolation)
    assert result.server.sent == [ACCEPT, CLOSE]


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 6000),
    st.floats(allow_nan=True),
    st.text(max_size=130),
    st.text(st.characters(categories=["Cs", "Lu"]), max_size=3),
    st.binary(max_size=3),
    st.binary(max_size=3).map(bytearray),
    st.binary(max_size=3).map(memoryview),
    st.lists(st.integers(0, 255), max_size=2).map(lambda numbers: array.array("I", numbers)),
    st.lists(st.tuples(st.binary(max_size=3), st.binary(max_size=3)), max_size=2),
    st.lists(st.lists(st.binary(max_size=3), max_size=3), max_size=2).map(iter),
    st.builds(object),
    st.sampled_from([1000, 1005, 1008, 401, "chat", b"no", [(b"x-app", b"1")]]),
)
KINDS = st.sampled_from([ACCEPT["type"], SEND["type"], CLOSE["type"], START["type"], BODY["type"], Kind.SEND, None])
FIELDS = st.sampled_from(["text", "bytes", "code", "reason", "subprotocol", "headers", "status", "body", "more_body"])
MESSAGES = st.builds(
    lambda fields, kind, make: make({**fields, "type": kind}),
    st.dictionaries(FIELDS, VALUES, max_size=5),
    KINDS,
    st.sampled_from([dict, dict, dict, OrderedDict, UserDict, list]),
)
LIKELY = st.sampled_from([ACCEPT, START, BODY, {**BODY, "more_body": True}, {**SEND, "text": "hi"}])


@given(messages=st.lists(MESSAGES | LIKELY, max_size=5), strict=st.booleans(), denial_extension=st.booleans())
def test_whatever_a_message_holds_the_server_gets_a_legal_one(
    messages: list[Any], strict: bool, denial_extension: bool
) -> None:
    spec = SpecChecker(subprotocols=["chat"], denial_extension=denial_extension)
    rules = Lifecycle(["chat"], can_deny=denial_extension, policy=Policy(DenialResponse(), strict))
    for message in messages:
        before = rules.state
        try:
            outgoing = rules.sending(message)
        except ProtocolViolation:
            assert rules.state is before
            continue
        for each in outgoing or ():
            spec.check(each)  # raises IllegalSequence


@given(message=MESSAGES, first=st.sampled_from([None, ACCEPT, START]))
def test_what_the_specification_allows_is_neither_refused_nor_warned_of(message: Any, first: Any) -> None:
    spec = SpecChecker(subprotocols=["chat"], denial_extension=True)
    rules = Lifecycle(["chat"], can_deny=True, policy=Policy(DenialResponse(), strict=True))
    for each in [first] if first else []:
        spec.check(each)
        rules.sending(each)
    if isinstance(message, dict) and isinstance(message.get("headers"), type(iter([]))):
        message["headers"] = list(message["headers"])  # both read them
    try:
        spec.check(message)
    except IllegalSequence:
        return
    outgoing = rules.sending(message)
    assert rules.repairs == ()
    if (
        outgoing
        and message["type"] in (SEND["type"], CLOSE["type"])
        and not isinstance(message.get("bytes"), (bytearray, memoryview))
    ):
        assert outgoing[0] is message or message.get("code", 1000) is None
