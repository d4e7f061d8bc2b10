"""The metrics: names, labels, buckets, and how a report is counted. A subclass stores the figures."""

from __future__ import annotations

import abc
import enum
from dataclasses import dataclass
from logging import DEBUG
from typing import Callable, NamedTuple, Union

from ..report import ConnectionReport, Outcome

Labels = tuple[Union[str, int], ...]
"""The values of a metric's labels, in their order; an empty string is a label that is left out."""

Record = Callable[[float], object]
"""Adds to a counter, or observes in a histogram."""

OTHER = "_OTHER"
"""Replaces a value when there are too many: the word of OpenTelemetry's semantic conventions."""

MOST = 100
"""The number of routes, error texts, and close codes of the app that an observer distinguishes."""

PROTOCOL_CODES = range(1000, 1016)
"""The close codes that RFC 6455 and its registry define. A client may send thousands of others."""

ACCEPTED = "accepted"
"""The outcome of a handshake after which the websocket was open. The outcome of that is another metric."""

NO_FAILURES = frozenset({Outcome.DENIED_WITHOUT_EXTENSION, Outcome.TURNED_AWAY})
"""Not failures: a denial that the server could not send in full, and a rejection during a deploy."""


class Kind(enum.Enum):
    """The kind of an instrument."""

    COUNTER = "counter"
    UP_DOWN_COUNTER = "up-down counter"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, eq=False)
class Metric:
    """One metric, in OpenTelemetry's terms. Prometheus has the same names, with underscores for the dots.

    Attributes:
        name: by the rules of the semantic conventions, in the namespace ``wsguard``.
        kind: the kind of the instrument.
        unit: in UCUM, such as ``s``.
        description: one sentence.
        labels: the names of its attributes; those in the namespace ``wsguard`` are ours.
        buckets: the upper bounds of a histogram.
    """

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()


OPEN_CONNECTIONS = Metric(
    "wsguard.open_connections",
    Kind.UP_DOWN_COUNTER,
    "{connection}",
    "Websockets that are open now.",
    ("http.route",),
)
OUTLIVING_APPS = Metric(
    "wsguard.outliving_apps",
    Kind.UP_DOWN_COUNTER,
    "{app}",
    "Apps that are still running, longer than exit_timeout after their websocket was over.",
    ("http.route",),
)
HANDSHAKES = Metric(
    "wsguard.handshakes",
    Kind.COUNTER,
    "{handshake}",
    "Handshakes, by outcome.",
    (
        "http.route",
        "wsguard.outcome",
        "http.response.status_code",
        "error.type",
        "wsguard.error",
        "network.protocol.version",
    ),
)
HANDSHAKE_DURATION = Metric(
    "wsguard.handshake.duration",
    Kind.HISTOGRAM,
    "s",
    "Time from the call of the app to the answer to the handshake.",
    ("http.route", "wsguard.outcome"),
    # Those of http.server.request.duration, and values around the default handshake_timeout.
    (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 30.0),
)
CONNECTION_DURATION = Metric(
    "wsguard.connection.duration",
    Kind.HISTOGRAM,
    "s",
    "Time from accept to the end of the websocket.",
    ("http.route",),
    (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0),
)
CLOSES = Metric(
    "wsguard.closes",
    Kind.COUNTER,
    "{connection}",
    "Open websockets that ended, by close code and by who ended them.",
    ("http.route", "wsguard.outcome", "wsguard.close_code", "wsguard.closed_by"),
)
VIOLATIONS = Metric(
    "wsguard.violations",
    Kind.COUNTER,
    "{violation}",
    "Violations of the ASGI specification by apps, by clause of the contract.",
    ("http.route", "wsguard.clause"),
)
METRICS = (OPEN_CONNECTIONS, OUTLIVING_APPS, HANDSHAKES, HANDSHAKE_DURATION, CONNECTION_DURATION, CLOSES, VIOLATIONS)


def translated(name: str) -> str:
    """Return Prometheus' name for a metric or label of OpenTelemetry, without the metric's unit and ``_total``."""
    return name.replace(".", "_")


class _Few:
    """The first distinct values as they are, and any other as `OTHER`."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, value: str) -> str:
        if value not in self._seen:
            if len(self._seen) >= MOST:
                return OTHER
            self._seen.add(value)
        return value


class _Kind(NamedTuple):
    """What reports have in common that are counted in the same series."""

    route: str
    outcome: Outcome
    status: str | int
    error_type: str
    error: str
    http_version: str
    close_code: str
    closed_by: str
    answered: bool
    opened: bool


class _Series(NamedTuple):
    """What the reports of one kind are recorded in."""

    handshake: Record
    answered_after: Record
    closed: Record
    open_for: Record
    close: Record


def _unused(amount: float) -> None:
    """Record nothing."""


class Metrics(abc.ABC):
    """An observer that counts. It may be used from any number of event loops and threads."""

    def __init__(self) -> None:
        self._records: dict[tuple[Metric, Labels], Record] = {}
        self._series: dict[_Kind, _Series] = {}
        self._route = _Few()
        self._error = _Few()
        self._code = _Few()

    @abc.abstractmethod
    def _bind(self, metric: Metric, labels: Labels) -> Record:
        """Return the function that records in the metric with these labels."""

    def _record(self, metric: Metric, *labels: str | int) -> Record:
        record = self._records.get((metric, labels))
        if record is None:
            record = self._records[metric, labels] = self._bind(metric, labels)
        return record

    def opened(self, route: str) -> None:
        """Count a websocket that was accepted."""
        self._record(OPEN_CONNECTIONS, self._route(route))(1)

    def outlive(self, route: str, change: int) -> None:
        """Count an app that outlives its client up, or down when it has ended."""
        self._record(OUTLIVING_APPS, self._route(route))(change)

    def __call__(self, report: ConnectionReport) -> None:
        """Count the result of a connection."""
        kind = _Kind(
            self._route(report.route),
            report.outcome,
            report.status or "",
            *self._failure(report),
            report.http_version,
            self._close_code(report),
            report.closed_by,
            report.answered_after is not None,
            report.open_for is not None,
        )
        series = self._series.get(kind)
        if series is None:
            series = self._series[kind] = self._series_of(kind)
        series.handshake(1)
        if report.answered_after is not None:
            series.answered_after(report.answered_after)
        if report.open_for is not None:
            series.closed(-1)
            series.open_for(report.open_for)
            series.close(1)
        for violation in report.violations:
            self._record(VIOLATIONS, kind.route, violation.clause)(1)

    def _series_of(self, kind: _Kind) -> _Series:
        """Return the series of a kind. Those that it has no use for are not made, as a scrape would show them."""
        ended = kind.outcome.value
        outcome = ACCEPTED if kind.opened else ended
        failure = kind.status, kind.error_type, kind.error, kind.http_version
        return _Series(
            self._record(HANDSHAKES, kind.route, outcome, *failure),
            self._record(HANDSHAKE_DURATION, kind.route, outcome) if kind.answered else _unused,
            self._record(OPEN_CONNECTIONS, kind.route) if kind.opened else _unused,
            self._record(CONNECTION_DURATION, kind.route) if kind.opened else _unused,
            self._record(CLOSES, kind.route, ended, kind.close_code, kind.closed_by) if kind.opened else _unused,
        )

    def _failure(self, report: ConnectionReport) -> tuple[str, str]:
        """Return the type and the text of the error for which the handshake failed."""
        if report.open_for is not None or report.outcome in NO_FAILURES:
            return "", ""
        if report.outcome.level == DEBUG and (report.status or 0) < 500:
            return "", ""
        return report.error_type or report.outcome.value, report.error and self._error(report.error)

    def _close_code(self, report: ConnectionReport) -> str:
        code = report.close_code
        if code is None:
            return ""
        if code in PROTOCOL_CODES:
            return str(code)
        return OTHER if report.closed_by == "client" else self._code(str(code))
