"""Every short sequence of messages through the whole middleware, against what the contract says of it.

`Contract` is written from the contract's tables alone. An app sends a sequence, goes on whatever its sends raise, and
then returns, raises or is cancelled; or it lets the first exception out.
"""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any

import anyio
import pytest

from asgi_wsguard import ClientDisconnected, ProtocolViolation, WebSocketGuardMiddleware
from asgi_wsguard.testing import Client, Denial, StrictServer
from harness.apps import AppError
from harness.backends import PROFILE
from harness.messages import APP_HEADERS, MESSAGES, OFFERED

pytestmark = pytest.mark.anyio

CRASH = "Internal Server Error"
TEXT_PLAIN = [(b"content-type", b"text/plain; charset=utf-8")]
LONGEST = 3 if PROFILE == "brief" else 4
ENDINGS = ("return", "raise", "cancelled", "let out")


class Contract:
    """What the client has got, and what each send raises."""

    def __init__(self, *, denial_extension: bool, strict: bool) -> None:
        self.client = Client()
        self.over = False
        self._held = self._body_begun = False
        self._denial_extension = denial_extension
        self._strict = strict

    def send(self, name: str) -> type[Exception] | None:
        if self.over:  # O5, O6; what is no ASGI message at all may be told so as well
            return None if name.startswith("close") else ProtocolViolation if name == "unknown" else ClientDisconnected
        if self._held:
            return self._in_denial(name)
        return self._open(name) if self.client.accepted else self._connecting(name)

    def _connecting(self, name: str) -> type[Exception] | None:
        if name == "accept":
            self.client = Client(True, "chat", [(b"x-app", b"1")])
        elif name == "accept: subprotocol not offered" and not self._strict:  # H14
            self.client = Client(True)
        elif name.startswith("close"):  # H5
            self._deny()
        elif name == "start":
            self._held = True
        else:  # H10, H11
            return ProtocolViolation
        return None

    def _in_denial(self, name: str) -> type[Exception] | None:
        if name not in ("body", "last body"):  # H10
            return ProtocolViolation
        if not self._denial_extension:  # H9
            self._deny()
            self.over = name == "last body"
        else:
            self.client.denial = self.client.denial or Denial(401, APP_HEADERS)
            self.client.denial.body += b"no"
            self.client.denial.complete = self.over = name == "last body"
        return None

    def _open(self, name: str) -> type[Exception] | None:
        if name == "text":
            self.client.messages.append("hi")
        elif name == "close":
            self._close(4001, "bye")
        elif name == "close: 1006" and not self._strict:  # O4
            self._close(1011)
        else:  # O4, O9, O10
            return ProtocolViolation
        return None

    def end(self, ending: str) -> None:
        if self.over:
            return
        if self.client.accepted:  # O1, O2, O3
            self._close({"return": 1000, "raise": 1011, "cancelled": 1012}[ending])
        elif not self._denial_extension:  # 403, also for H7 and H9
            self._deny()
        elif self.client.denial is not None:  # H8
            self.client.denial.complete = ending == "return"
        elif self._held:  # H7
            self.client.denial = Denial(401, [(b"x-app", b"1")], complete=True)
        elif ending == "cancelled":  # H3
            self.client.denial = Denial(503, TEXT_PLAIN, b"Service Unavailable", complete=True)
        else:  # H1, H2
            self.client.denial = Denial(500, TEXT_PLAIN, CRASH.encode(), complete=True)

    def _deny(self) -> None:
        self.client.denial = Denial(403, complete=True)
        self.over = True

    def _close(self, code: int, reason: str = "") -> None:
        self.client.close_code, self.client.close_reason, self.over = code, reason, True


class App:
    """Sends the messages, ends as told, and remembers what it saw. One after the other runs behind the same guard."""

    def begin(self, names: Sequence[str], ending: str, scope: anyio.CancelScope) -> None:
        self.names = names
        self.ending = ending
        self.scope = scope
        self.raised: list[Exception | None] = []
        self.error: BaseException | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await self.run(receive, send)
        except BaseException as exc:
            self.error = exc
            raise

    async def run(self, receive: Any, send: Any) -> None:
        await receive()
        for name in self.names:
            try:
                await send(MESSAGES[name])
                self.raised.append(None)
            except Exception as exc:
                self.raised.append(exc)
                if self.ending == "let out":
                    raise
        if self.ending == "raise":
            raise AppError("secret")
        if self.ending == "cancelled":
            self.scope.cancel()
            await anyio.sleep_forever()


async def check(
    app: App, guarded: Any, names: Sequence[str], ending: str, *, denial_extension: bool, strict: bool
) -> None:
    contract = Contract(denial_extension=denial_extension, strict=strict)
    expected = []
    for name in names:
        expected.append(contract.send(name))
        if ending == "let out" and expected[-1]:
            break
    lets_out = expected[-1] if ending == "let out" and expected else None
    if ending == "let out" and lets_out is None:
        return  # the same as "return"
    contract.end("raise" if lets_out else ending)

    server = StrictServer("/ws", subprotocols=OFFERED, denial_extension=denial_extension)
    error: BaseException | None = None
    with anyio.CancelScope() as scope:
        app.begin(names, ending, scope)
        try:
            await server.run(guarded)
        except BaseException as exc:
            error = exc
            if ending == "cancelled":
                raise

    assert server.violations == []
    assert server.client == contract.client
    assert [raised and type(raised) for raised in app.raised] == expected
    assert error is (None if lets_out is ClientDisconnected else app.error)
    assert (app.error is None) == (ending == "return")


def sequences(*, denial_extension: bool, strict: bool) -> Iterator[tuple[str, ...]]:
    """All of up to three messages, and those of four of which at most one is refused."""
    for length in range(LONGEST + 1):
        for names in itertools.product(MESSAGES, repeat=length):
            if length <= 3 or refused(names, denial_extension, strict) <= 1:
                yield names


def refused(names: Sequence[str], denial_extension: bool, strict: bool) -> int:
    contract = Contract(denial_extension=denial_extension, strict=strict)
    return sum(contract.send(name) is not None for name in names)


@pytest.fixture
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger("asgi_wsguard"), "disabled", True)


@pytest.mark.usefixtures("_quiet")
@pytest.mark.parametrize("strict", [False, True], ids=["default", "strict"])
@pytest.mark.parametrize("denial_extension", [True, False], ids=["denial", "no denial"])
async def test_every_short_sequence(denial_extension: bool, strict: bool) -> None:
    before = copy.deepcopy(MESSAGES)
    app = App()
    guarded = WebSocketGuardMiddleware(app, strict=strict)
    for names in sequences(denial_extension=denial_extension, strict=strict):
        for ending in ENDINGS:
            try:
                await check(app, guarded, names, ending, denial_extension=denial_extension, strict=strict)
            except AssertionError as exc:
                raise AssertionError(f"the app sent {names}, then: {ending}\n{exc}") from exc
    assert before == MESSAGES  # what the app sends stays the app's
