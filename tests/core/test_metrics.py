"""The same figures from OpenTelemetry's SDK and from Prometheus' client, read as their own readers read them."""

from __future__ import annotations

import subprocess
import sys
import threading
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from asgi_wsguard import WebSocketGuardMiddleware
from asgi_wsguard.integrations.metrics import METRICS, MOST, OTHER, Metrics
from asgi_wsguard.integrations.opentelemetry import OpenTelemetryMetrics
from asgi_wsguard.integrations.prometheus import PrometheusMetrics
from asgi_wsguard.report import ConnectionReport, Outcome
from asgi_wsguard.testing import WebSocketClosed, WebSocketSession
from harness.reports import CRASHED, LEFT, REPORTS, TIMEOUT, UNANSWERED

Figures = dict[tuple[str, frozenset[tuple[str, str]]], float]


def give(observer: Metrics, *reports: ConnectionReport) -> None:
    """Give it the reports, as the guard does, but with no event loop: it never waits."""
    for report in reports:
        if report.open_for is not None:
            observer.opened(report.route)
            observer.outlive(report.route, 1)
            observer.outlive(report.route, -1)
        observer(report)


def prometheus(registry: CollectorRegistry) -> Figures:
    """Return what a scrape of Prometheus' says; no value is no label, there."""
    return {
        (sample.name, frozenset((k, v) for k, v in sample.labels.items() if v and not k.startswith("otel_scope"))): (
            sample.value
        )
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name.startswith("wsguard_") and not sample.name.endswith("_created")
    }


def series(name: str, **labels: str) -> tuple[str, frozenset[tuple[str, str]]]:
    return name, frozenset(labels.items())


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def test_prometheus(registry: CollectorRegistry) -> None:
    give(PrometheusMetrics(registry), *REPORTS)
    figures = prometheus(registry)
    room = {"http_route": "/rooms/{room}"}
    handshake = {**room, "network_protocol_version": "1.1"}
    totals = {key: value for key, value in figures.items() if key[0].endswith("_total")}
    assert totals == {
        series("wsguard_handshakes_total", **handshake, wsguard_outcome="accepted"): 3,
        series("wsguard_handshakes_total", network_protocol_version="1.1", wsguard_outcome="accepted"): 1,
        series(
            "wsguard_handshakes_total",
            **handshake,
            wsguard_outcome="raised_unanswered",
            http_response_status_code="500",
            error_type="KeyError",
            wsguard_error="KeyError",
        ): 1,
        series(
            "wsguard_handshakes_total",
            **handshake,
            wsguard_outcome="handshake_timeout",
            http_response_status_code="503",
            error_type="handshake_timeout",
        ): 1,
        series("wsguard_handshakes_total", network_protocol_version="1.1", wsguard_outcome="left_unanswered"): 1,
        series(
            "wsguard_closes_total",
            **room,
            wsguard_outcome="left",
            wsguard_close_code="1001",
            wsguard_closed_by="client",
        ): 2,
        series("wsguard_closes_total", wsguard_outcome="left", wsguard_closed_by="client"): 1,
        series(
            "wsguard_closes_total",
            **room,
            wsguard_outcome="raised",
            wsguard_close_code="1011",
            wsguard_closed_by="guard",
        ): 1,
        series("wsguard_violations_total", **room, wsguard_clause="O9"): 1,
        series("wsguard_violations_total", **room, wsguard_clause="O4"): 1,
    }
    assert figures[series("wsguard_open_connections", **room)] == 0
    answer = "wsguard_handshake_duration_seconds"
    assert figures[series(f"{answer}_bucket", **room, wsguard_outcome="accepted", le="0.025")] == 0
    assert figures[series(f"{answer}_bucket", **room, wsguard_outcome="accepted", le="0.05")] == 3
    assert figures[series(f"{answer}_bucket", **room, wsguard_outcome="handshake_timeout", le="20.0")] == 0
    assert figures[series(f"{answer}_bucket", **room, wsguard_outcome="handshake_timeout", le="30.0")] == 1
    assert series(f"{answer}_count", wsguard_outcome="left_unanswered") not in figures
    assert figures[series("wsguard_connection_duration_seconds_sum", **room)] == 210
    assert figures[series("wsguard_connection_duration_seconds_count")] == 1


def test_opentelemetry() -> None:
    reader = InMemoryMetricReader()
    give(OpenTelemetryMetrics(MeterProvider([reader], shutdown_on_exit=False)), *REPORTS)
    data: Any = reader.get_metrics_data()
    (scope,) = data.resource_metrics[0].scope_metrics
    assert scope.scope.name == "asgi_wsguard"
    assert scope.scope.version == "0.1.0"
    found = {metric.name: metric for metric in scope.metrics}
    assert {(metric.name, metric.unit, metric.description) for metric in scope.metrics} == {
        (metric.name, metric.unit, metric.description) for metric in METRICS
    }
    handshakes = [(point.value, dict(point.attributes)) for point in found["wsguard.handshakes"].data.data_points]
    assert (
        1,
        {
            "http.route": "/rooms/{room}",
            "wsguard.outcome": "raised_unanswered",
            "http.response.status_code": 500,
            "error.type": "KeyError",
            "wsguard.error": "KeyError",
            "network.protocol.version": "1.1",
        },
    ) in handshakes
    assert (1, {"wsguard.outcome": "left_unanswered", "network.protocol.version": "1.1"}) in handshakes
    assert found["wsguard.handshakes"].data.is_monotonic
    assert not found["wsguard.open_connections"].data.is_monotonic


def test_figures_and_names_are_the_same_in_both(registry: CollectorRegistry) -> None:
    reader = PrometheusMetricReader()
    try:
        give(OpenTelemetryMetrics(MeterProvider([reader], shutdown_on_exit=False)), *REPORTS)
        give(PrometheusMetrics(registry), *REPORTS)
        assert prometheus(REGISTRY) == prometheus(registry)
    finally:
        reader.shutdown()


@pytest.fixture(params=["prometheus", "opentelemetry"])
def kept(request: pytest.FixtureRequest, registry: CollectorRegistry) -> Any:
    """Return what makes an observer, and what reads the figures of all that it made."""
    if request.param == "prometheus":
        yield lambda: PrometheusMetrics(registry), lambda: prometheus(registry)
        return
    reader = PrometheusMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    yield lambda: OpenTelemetryMetrics(provider), lambda: prometheus(REGISTRY)
    reader.shutdown()


def test_connections_are_open_from_accept_to_the_report(kept: Any) -> None:
    make, read = kept
    observer = make()
    observer.opened("/a")
    observer.opened("/a")
    assert read() == {series("wsguard_open_connections", http_route="/a"): 2}
    observer(replace(LEFT, route="/a"))
    assert read()[series("wsguard_open_connections", http_route="/a")] == 1


@pytest.mark.anyio
async def test_around_an_app(kept: Any) -> None:
    async def room(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.receive_text()
        await websocket.close(4000)

    make, read = kept
    guarded = [Middleware(WebSocketGuardMiddleware, observers=[make()])]
    app = Starlette(routes=[WebSocketRoute("/rooms/{room}", room)], middleware=guarded)
    where = {"http_route": "/rooms/{room}"}
    async with WebSocketSession(app, "/rooms/7") as ws:
        assert read() == {series("wsguard_open_connections", **where): 1}
        await ws.send_text("hi")
        with pytest.raises(WebSocketClosed, match="4000"):
            await ws.receive_text()
    figures = read()
    assert figures[series("wsguard_open_connections", **where)] == 0
    handshake = {"network_protocol_version": "1.1", "wsguard_outcome": "accepted"}
    assert figures[series("wsguard_handshakes_total", **where, **handshake)] == 1
    close = {"wsguard_close_code": "4000", "wsguard_closed_by": "app", "wsguard_outcome": "closed"}
    assert figures[series("wsguard_closes_total", **where, **close)] == 1


def test_two_observers_count_together(kept: Any) -> None:
    make, read = kept
    give(make(), LEFT)
    give(make(), LEFT)
    assert read()[series("wsguard_connection_duration_seconds_sum", http_route="/rooms/{room}")] == 140
    assert sum(value for (name, _), value in read().items() if name == "wsguard_closes_total") == 2


def test_many_threads_count_together(kept: Any) -> None:
    make, read = kept
    observer = make()
    together = threading.Barrier(4)

    def loop() -> None:
        together.wait()
        give(observer, *REPORTS * 100)

    threads = [threading.Thread(target=loop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    figures = read()
    assert figures[series("wsguard_open_connections", http_route="/rooms/{room}")] == 0
    assert sum(value for (name, _), value in figures.items() if name == "wsguard_handshakes_total") == 400 * len(
        REPORTS
    )


def labels(figures: Figures, name: str, label: str) -> list[str]:
    return [dict(found)[label] for (sample, found) in figures if sample == name and label in dict(found)]


def test_neither_path_nor_client_is_a_label(kept: Any) -> None:
    make, read = kept
    give(make(), *(replace(report, path="/secret", client="secret") for report in REPORTS))
    assert "secret" not in str(read())


def test_routes_are_limited(kept: Any) -> None:
    make, read = kept
    give(make(), *(replace(LEFT, route=f"/{number}") for number in range(MOST + 5)))
    figures = read()
    assert len(labels(figures, "wsguard_open_connections", "http_route")) == MOST + 1
    assert figures[series("wsguard_open_connections", http_route=OTHER)] == 0


def test_error_strings_are_limited(kept: Any) -> None:
    make, read = kept
    give(make(), *(replace(UNANSWERED, error=f"error {number}") for number in range(MOST + 5)), UNANSWERED)
    errors = labels(read(), "wsguard_handshakes_total", "wsguard_error")
    assert len(errors) == MOST + 1
    assert OTHER in errors


def test_close_codes_are_limited(kept: Any) -> None:
    make, read = kept
    of_client = [replace(LEFT, close_code=code) for code in range(1000, 5000)]
    of_app = [replace(LEFT, close_code=code, closed_by="app") for code in range(3000, 3000 + MOST + 5)]
    give(make(), *of_client, *of_app)
    codes = labels(read(), "wsguard_closes_total", "wsguard_close_code")
    assert len(codes) == len(range(1000, 1016)) + 1 + MOST + 1
    assert codes.count(OTHER) == 2


@pytest.mark.parametrize(
    ("report", "error_type"),
    [
        (replace(TIMEOUT, status=403), "handshake_timeout"),  # where the server cannot deny
        (replace(TIMEOUT, outcome=Outcome.MAX_CONNECTIONS), "max_connections"),
        (replace(TIMEOUT, outcome=Outcome.DENIED, status=500), "denied"),
        (replace(TIMEOUT, outcome=Outcome.DENIED, status=401), None),
        (replace(TIMEOUT, outcome=Outcome.DENIED_WITHOUT_EXTENSION, status=403), None),
        (replace(TIMEOUT, outcome=Outcome.TURNED_AWAY, status=503), None),  # by a drain
        (replace(UNANSWERED, outcome=Outcome.LEFT_UNANSWERED, status=None), None),
        (CRASHED, None),  # the handshake was accepted
    ],
)
def test_which_handshakes_have_an_error(registry: CollectorRegistry, report: Any, error_type: str | None) -> None:
    give(PrometheusMetrics(registry), report)
    assert labels(prometheus(registry), "wsguard_handshakes_total", "error_type") == [error_type] * bool(error_type)


def test_the_global_provider_may_be_set_later() -> None:
    program = """
from asgi_wsguard.integrations.opentelemetry import OpenTelemetryMetrics
observer = OpenTelemetryMetrics()
observer.opened("/a")
from opentelemetry.metrics import set_meter_provider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
reader = InMemoryMetricReader()
set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
observer.opened("/a")
(metric,) = reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics
print(metric.name, metric.data.data_points[0].value)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "wsguard.open_connections 2\n"
