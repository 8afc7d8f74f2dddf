"""The metrics, and their text for Prometheus.

Several workers share one folder of memory-mapped files, so that any of them answers a
scrape for all, and counters outlive a worker that ends.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from service.shared import METRICS_VARIABLE

if TYPE_CHECKING:
    from service.exchange import Exchange
    from service.repository.version import ModelVersion

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

# Seconds: from 10 µs, where LiteRT's answers lie, to where a caller has given up.
LATENCY_BUCKETS_S: Final = (
    1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3,
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
_LOAD_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


def forget_worker(pid: int) -> None:
    """Take a worker that ended out of the gauges that count only live ones."""
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Metrics:
    """The numbers of one worker.

    Args:
        registry: Where they are registered; a new one by default.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._registry = registry if registry is not None else CollectorRegistry()
        self._requests = Counter(
            "hearth_requests",
            "Requests answered, by what came of them: ok or the class of the error.",
            ("protocol", "route", "model", "version", "outcome"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "hearth_request_seconds",
            "Seconds from a request's last byte to its answer.",
            ("protocol", "route"),
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self._rows = Counter(
            "hearth_rows",
            "Rows predicted.",
            ("model", "version"),
            registry=self._registry,
        )
        self._serving = Gauge(
            "hearth_model_version_workers",
            "Workers that serve a version; 0 once it is unloaded.",
            ("model", "version"),
            registry=self._registry,
            multiprocess_mode="livesum",
        )
        self._loads = Counter(
            "hearth_model_loads",
            "Loads of a version, by what came of them: ok or the class of the error.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self._load_seconds = Histogram(
            "hearth_model_load_seconds",
            "Seconds that a load took, checks included.",
            ("model",),
            buckets=_LOAD_BUCKETS_S,
            registry=self._registry,
        )
        self._workers = Gauge(
            "hearth_workers",
            "Workers that are up.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

    def worker_started(self) -> None:
        """Count this worker among those that are up."""
        self._workers.set(1)

    def answered(self, exchange: Exchange, seconds: float) -> None:
        """Count a request that has its answer."""
        self._requests.labels(
            exchange.protocol, exchange.route, exchange.model, exchange.version, exchange.outcome
        ).inc()
        self._seconds.labels(exchange.protocol, exchange.route).observe(seconds)
        if exchange.rows and exchange.outcome == "ok":
            self._rows.labels(exchange.model, exchange.version).inc(exchange.rows)

    def loaded(self, version: ModelVersion, seconds: float) -> None:
        """A version is served from now on, after so long a load."""
        self._loads.labels(version.model, "ok").inc()
        self._load_seconds.labels(version.model).observe(seconds)
        self._serving.labels(version.model, str(version.number)).set(1)

    def refused(self, model: str, error: Exception) -> None:
        """A version could not be loaded."""
        self._loads.labels(model, type(error).__name__).inc()

    def unloaded(self, model: str, number: int) -> None:
        """A version is no longer served."""
        self._serving.labels(model, str(number)).set(0)

    def exposition(self) -> bytes:
        """The numbers of all workers in Prometheus's text format."""
        folder = os.environ.get(METRICS_VARIABLE)
        if folder is None:
            return generate_latest(self._registry)
        merged = CollectorRegistry()
        multiprocess.MultiProcessCollector(merged, path=folder)  # type: ignore[no-untyped-call]
        return generate_latest(merged)
