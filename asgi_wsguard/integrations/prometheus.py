"""Metrics through Prometheus' own client, which the extra ``prometheus`` installs, in one process or in several."""

from __future__ import annotations

import functools
from typing import Union

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

from .metrics import METRICS, Kind, Labels, Metric, Metrics, Record, translated

Collector = Union[Counter, Gauge, Histogram]


class PrometheusMetrics(Metrics):
    """An observer that keeps the metrics in a registry of Prometheus' client.

    Observers with the same registry share their metrics.

    Args:
        registry: the registry. Default: the client's own.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        super().__init__()
        self._collectors = _collectors(registry)

    def _bind(self, metric: Metric, labels: Labels) -> Record:
        series = self._collectors[metric].labels(*labels)
        return series.observe if isinstance(series, Histogram) else series.inc


@functools.lru_cache  # a registry accepts each name only once
def _collectors(registry: CollectorRegistry) -> dict[Metric, Collector]:
    return {metric: _collector(metric, registry) for metric in METRICS}


def _collector(metric: Metric, registry: CollectorRegistry) -> Collector:
    about = translated(metric.name), metric.description, [translated(label) for label in metric.labels]
    if metric.kind is Kind.COUNTER:
        return Counter(*about, registry=registry)
    if metric.kind is Kind.UP_DOWN_COUNTER:
        return Gauge(*about, registry=registry, multiprocess_mode="livesum")
    return Histogram(*about, unit="seconds", buckets=metric.buckets, registry=registry)
